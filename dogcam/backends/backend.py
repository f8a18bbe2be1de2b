"""What every backend offers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from torch import Tensor

from dogcam.structures.backends import BackendName

MapKind = Literal["cam", "grad_cam"]


class Run(Protocol):
    """How a backend computes: (N, 3, H, W) images -> (N, C) logits and (N, C, h, w) maps."""

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network once."""


@dataclass(frozen=True)
class Backend:
    """A way to run one classifier.

    Attributes:
        name: which backend runs; where another was asked for, it could not be had.
        kind: what its maps are: `cam`, negative where a place speaks against the class, whose positive part
            divided by the number of places is Grad-CAM; or `grad_cam` of the target layer, where the network
            is not pooling and one head.
        run: computes logits and maps.
        versions: of the libraries that compute beside torch, by their names.
    """

    name: BackendName
    kind: MapKind
    run: Run
    versions: Mapping[str, str] = field(default_factory=dict)

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the network says of a batch, and where it finds what speaks for each class.

        Args:
            images: (N, 3, H, W) float32 tensor, preprocessed; any N, the size of the classifier's input.

        Returns:
            (N, C) float32 logits, and (N, C, h, w) float32 maps of the target layer, for all classes.

        Raises:
            ModelError: where the images have another size than the network was exported for.
        """
        return self.run(images)
