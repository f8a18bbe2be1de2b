"""Boxes without images: ground truth and detections of any program, for `dogcam evaluate-boxes`."""
