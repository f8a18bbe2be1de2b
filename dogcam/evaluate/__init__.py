"""Measures of boxes, maps and classifiers, with intervals; failure types; sanity checks."""
