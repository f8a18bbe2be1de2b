"""Data sets: one reader a format, splits, images, downloads, and the rendered sample."""
