"""Neutral types: boxes, detections and ground truth. They depend on no file format and no network."""
