"""Benchmarks of speed and memory: `make bench`, `python -m benchmarks`."""
