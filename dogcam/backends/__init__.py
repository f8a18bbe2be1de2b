"""Other ways to run a classifier for its logits and every class's map: faster, and with the same maps.

Where a network ends in global average pooling and a head, the maps of all classes are part of one forward
graph: a linear head is a 1 x 1 convolution of the activation maps, and the logits are the means of its maps
plus the bias. Nothing is captured and nothing is differentiated, so that the graph can be fused, compiled,
exported and quantised like any other.
"""

from dogcam.backends.backend import Backend, BackendName
from dogcam.backends.loading import BACKENDS, NEEDED, load_backend
from dogcam.backends.quantisation import Quantisation

__all__ = ["BACKENDS", "NEEDED", "Backend", "BackendName", "Quantisation", "load_backend"]
