"""Classifiers: networks with their classes, preprocessing, checkpoints and model cards."""
