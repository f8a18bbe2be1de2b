"""Data sets: one reader for each format, splits, images, downloads, and the rendered sample."""
