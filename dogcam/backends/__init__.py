"""Compute logits and the maps of all classes faster than the reference implementation, with equal maps.

If a network ends in global average pooling and a head, the maps of all classes are part of the forward graph.
A linear head is a 1 x 1 convolution of the activation maps; the logits are the spatial means of its maps plus
the bias. Nothing is captured or differentiated, so the graph can be fused, compiled, exported and quantised.
"""

from dogcam.backends.backend import Backend, BackendName
from dogcam.backends.fastest import Fastest, fastest_backend
from dogcam.backends.loading import BACKENDS, load_backend, needs_calibration, packages_of
from dogcam.backends.quantisation import Quantisation

__all__ = [
    "BACKENDS",
    "Backend",
    "BackendName",
    "Fastest",
    "Quantisation",
    "fastest_backend",
    "load_backend",
    "needs_calibration",
    "packages_of",
]
