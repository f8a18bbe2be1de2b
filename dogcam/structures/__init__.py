"""Neutral types: boxes, detections and ground truth. They know no file format and no network."""
