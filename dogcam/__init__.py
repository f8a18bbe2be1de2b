"""Turn an image classifier into a detector with class activation maps, and measure how good its boxes are."""

__version__ = "0.1.0"
