"""Train a localiser on pseudo-boxes: boxes that a detection method finds if the image labels are known."""
