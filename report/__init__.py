"""Run an experiment in stages, keep what it found in one record, and render that record as a report."""
