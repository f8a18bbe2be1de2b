"""Training a classifier on image labels alone."""
