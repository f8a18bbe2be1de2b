"""The commands of `dogcam`, one module a command."""
