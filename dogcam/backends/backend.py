"""The interface of all backends."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from dogcam.structures.backends import BackendName

MapKind = Literal["cam", "grad_cam"]


MapsFunction = Callable[[Tensor], tuple[Tensor, Tensor]]
"""(N, 3, H, W) images -> (N, C) logits and (N, C, h, w) maps of the target layer, float32."""


@dataclass(frozen=True)
class Backend:
    """A function that computes logits and maps of one classifier.

    Attributes:
        name: the backend that runs; it differs from the requested one if that is unavailable.
        kind: kind of the maps. `cam`: the positive part, divided by the number of spatial positions, is
            Grad-CAM. `grad_cam`: used if the network does not end in global average pooling and one head.
        maps: computes the logits and the maps of all classes from (N, 3, H, W) float32 preprocessed images of
            the input size of the classifier. Raises ModelError for another size if the network was exported.
        versions: versions of the libraries that it uses in addition to torch, by name.
    """

    name: BackendName
    kind: MapKind
    maps: MapsFunction
    versions: Mapping[str, str] = field(default_factory=dict)
