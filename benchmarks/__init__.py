"""Measurements of what the project claims of its speed and memory: `make bench`, `python -m benchmarks`."""
