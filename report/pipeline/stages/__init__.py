"""The stages of a run, the only place of this package that calls into the science."""
