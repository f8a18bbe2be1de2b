"""A classifier: a network with its classes, preprocessing, activation and target layer."""

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from dogcam.errors import ConfigError, ModelError, first_line
from dogcam.models.card import network_of, read_card, with_given_card
from dogcam.models.checkpoints import load_checkpoint, weights_sha256
from dogcam.models.imagenet import are_imagenets
from dogcam.models.libraries import is_function
from dogcam.models.pools import parse_pools, pool_outputs
from dogcam.models.preprocessing import Preprocessing
from dogcam.models.registry import find_architecture, require_input
from dogcam.models.two_scale import HighResolutionPass, sizes_of
from dogcam.network.activation import Activation, log_odds
from dogcam.network.target_layer import choose_layers
from dogcam.structures.defaults import TARGET
from dogcam.structures.images import least_side

MOST_LISTED = 30
"""Maximum number of classes in an error; of more classes, only similar names are listed."""

SAMPLE_WEIGHTS = Path(__file__).parent / "weights" / "sample_net.safetensors"


@dataclass(frozen=True)
class Classifier:
    """A network in evaluation mode, with everything that is needed to use it.

    Attributes:
        name: name of the architecture.
        network: maps (N, 3, H, W) images to (N, C) logits.
        classes: C names in the order of the logits.
        preprocessing: input of the network, as in training.
        target_layer: dotted name of the target layer.
        earlier_layer: dotted name of the last layer with a higher resolution; None if there is none.
        head: dotted name of the head if only global average pooling and this head follow the target layer;
            else None.
        source: origin of the weights, in words.
        activation: activation of the head, which turns logits into probabilities.
        high_resolution: the high-resolution pass, whose logits are averaged with those of the first pass;
            None for none. Maps are computed in the first pass.
        learned_from: manifest of the split that the network was trained on, by its card; None if unknown.
    """

    name: str
    network: nn.Module
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    target_layer: str
    earlier_layer: str | None
    head: str | None
    source: str
    activation: Activation
    high_resolution: HighResolutionPass | None = None
    learned_from: str | None = None

    def classes_named(self, targets: Sequence[str]) -> tuple[str, ...]:
        """Return the classes that targets name, each once: `TARGET` for none, every class for `all`.

        Raises:
            ModelError: if the classifier has no output for one of them.
        """
        if "all" in targets and "all" not in self.classes:
            return self.classes
        names = tuple(dict.fromkeys(targets or (TARGET,)))
        for name in names:
            self.index_of(name)
        return names

    def index_of(self, class_name: str) -> int:
        """Return the index of a class among the logits.

        Raises:
            ModelError: if the classifier has no such class; the message lists similar names.
        """
        if class_name in self.classes:
            return self.classes.index(class_name)
        known = self.classes
        if len(known) > MOST_LISTED:
            known = tuple(difflib.get_close_matches(class_name, known, n=5, cutoff=0.4)) or known[:5]
            raise ModelError(
                f"{self.name} has no class {class_name!r}; of its {len(self.classes)} classes, similar ones "
                f"are {', '.join(known)}"
            )
        raise ModelError(f"{self.name} has no class {class_name!r}; its classes are {', '.join(known)}")

    def probabilities(self, logits: Tensor | NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the probabilities of the logits of all classes, by the activation of the head.

        Args:
            logits: (N, C) tensor or array.

        Returns:
            (N, C) float64 array in [0, 1].
        """
        values = _as_array(logits)
        if self.activation == "softmax":
            powers = np.exp(values - values.max(axis=1, keepdims=True))
            return powers / powers.sum(axis=1, keepdims=True)
        with np.errstate(over="ignore"):
            return 1.0 / (1.0 + np.exp(-values))

    def log_odds(self, logits: Tensor) -> Tensor:
        """Return log(p / (1 - p)) of each class, which ranks images as the probability does: (N, C)."""
        return log_odds(logits, self.activation)

    @property
    def device(self) -> torch.device:
        """The device of the weights, and of every batch."""
        return next(self.network.parameters()).device

    def at_size(self, size: tuple[int, int]) -> "Classifier":
        """Return the same classifier with another input size, (height, width) in pixels."""
        return replace(self, preprocessing=replace(self.preprocessing, size=size))

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages that its network requires, in addition to torch and torchvision."""
        return find_architecture(self.name).packages

    @property
    def least_side(self) -> int:
        """Minimum side in pixels of the images that it is given; larger JPEGs may be decoded at this size."""
        return least_side(*sizes_of(self.preprocessing, self.high_resolution))

    @property
    def input_sizes(self) -> str:
        """The input sizes of its passes, in words: `288 x 288 and 576 x 576`."""
        sizes = sizes_of(self.preprocessing, self.high_resolution)
        return " and ".join(f"{height} x {width}" for height, width in sizes)

    @property
    def n_parameters(self) -> int:
        """Number of parameters of the network."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def weights_sha256(self) -> str:
        """Return the SHA-256 of the weights; equal hashes mean equal weights."""
        return weights_sha256(self.network)

    def batch(self, images: Sequence[Image.Image]) -> Tensor:
        """Return N RGB images as input of the network: (N, 3, H, W) float32 tensor on its device."""
        return self.preprocessing(images).to(self.device, memory_format=torch.channels_last)


def _as_array(logits: Tensor | NDArray[np.floating]) -> NDArray[np.float64]:
    values = logits.detach().cpu().numpy() if isinstance(logits, Tensor) else logits
    return values.astype(np.float64)


def describe_classifier(classifier: Classifier) -> dict[str, Any]:
    """Return architecture, weights, activation and input sizes, as plain values for JSON."""
    return {
        "model": classifier.name,
        "source": classifier.source,
        "weights_sha256": classifier.weights_sha256(),
        "activation": classifier.activation,
        "input_size": list(classifier.preprocessing.size),
        "high_resolution_pass": asdict(classifier.high_resolution) if classifier.high_resolution else None,
    }


def load_classifier(
    name: str | None,
    checkpoint: Path | None = None,
    device: str = "auto",
    *,
    classes: Sequence[str] | None = None,
    activation: Activation | None = None,
    input_size: int | None = None,
    pools: Sequence[str] | None = None,
) -> Classifier:
    """Build a classifier with its weights, in evaluation mode.

    Arguments as for `dogcam.load_classifier`; `pools` are read by `dogcam.models.pools.parse_pools`.

    Raises:
        ModelError: if the name or the device is unknown, the checkpoint does not fit, or its card is
            incomplete.
        ConfigError: if a pool is malformed.
    """
    if checkpoint is not None:
        card = (name, classes, activation, input_size)
        parts = _from_checkpoint(checkpoint, *card)
    elif name is not None and is_function(name):
        parts = _from_function(name, classes, activation, input_size)
    elif classes or activation or input_size:
        raise ModelError(
            "--classes, --activation and --input-size describe a checkpoint; give --checkpoint FILE"
        )
    elif name == "sample_net":
        parts = _from_checkpoint(SAMPLE_WEIGHTS, name)
        parts = replace(parts, source="trained by dogcam on the rendered sample")
    else:
        parts = _from_imagenet(name)
    classifier = _with_layers(_pooled(parts, pools))
    # With channels last, convolutions are up to a third faster, also on the CPU.
    classifier.network.eval().to(choose_device(device)).to(memory_format=torch.channels_last)
    return classifier


_LITE0_LAYERS = ("features", "features.network._blocks.10", "head")

_LAYERS = {
    "sample_net": ("features.stage3", "features.stage2", "head"),
    "resnet50": ("layer4", "layer3", "fc"),
    "efficientnet_lite0": _LITE0_LAYERS,
    "efficientnet_lite0_voc2007": _LITE0_LAYERS,
}
"""Target layer, earlier layer and head of these networks; `choose_layers` chooses those of others."""


def _from_imagenet(name: str | None) -> Classifier:
    """Return a network with the ImageNet weights of its library; its layers are not chosen yet."""
    if name is None:
        raise ModelError("no model is given; use --model NAME or --checkpoint FILE")
    found = find_architecture(name)
    if found.with_imagenet_head is None:
        trained = found.name == "efficientnet_lite0_voc2007"
        remedy = "train one with make train-voc2007" if trained else "give --checkpoint FILE"
        raise ModelError(f"the model {found.name} needs a checkpoint; {remedy}")
    network, size = found.with_imagenet_head(), (found.input_size, found.input_size)
    source = f"ImageNet weights, {found.imagenet}; not trained on this data set"
    preprocessing = Preprocessing(size, found.mean, found.std)
    return Classifier(
        found.name, network, found.categories(), preprocessing, "", None, None, source, "softmax"
    )


def _from_function(
    name: str, classes: Sequence[str] | None, activation: Activation | None, input_size: int | None
) -> Classifier:
    """Return the network of a user's function, with the weights that it has."""
    if not classes or not activation:
        raise ModelError(
            f"{name} states neither its classes nor its activation; give --classes FILE|NAME,NAME,... and "
            "--activation sigmoid|softmax"
        )
    found = find_architecture(name)
    size = (input_size or found.input_size,) * 2
    preprocessing = Preprocessing(size, found.mean, found.std)
    network, source = found.build(classes, False), f"the function {name}"
    return Classifier(name, network, tuple(classes), preprocessing, "", None, None, source, activation)


def _from_checkpoint(
    path: Path,
    name: str | None,
    classes: Sequence[str] | None = None,
    activation: Activation | None = None,
    input_size: int | None = None,
) -> Classifier:
    """Return a network with the weights of a file; its layers are not chosen yet."""
    loaded = load_checkpoint(path)
    if classes or input_size:
        loaded = with_given_card(loaded, path, name, classes, activation, input_size)
    card = read_card(name, loaded, path, activation)
    network = network_of(card, loaded, path)
    order = "" if "classes" in loaded.meta else ", with the published order of outputs"
    which = f", its {loaded.meta['weights_from']}" if "weights_from" in loaded.meta else ""
    return Classifier(
        card.architecture.name, network, card.classes, card.preprocessing, "", None, None,
        f"checkpoint {path.name}{which}{order}", card.activation, card.high_resolution, card.learned_from,
    )  # fmt: skip


def _pooled(classifier: Classifier, texts: Sequence[str] | None) -> Classifier:
    """Return a classifier with pooled outputs; by default ImageNet's classes are pooled into VOC's."""
    is_imagenet = are_imagenets(classifier.classes)
    chosen = texts or (["voc"] if is_imagenet else ["none"])
    if list(chosen) == ["voc"] and not is_imagenet:
        raise ConfigError(f"--pool voc pools ImageNet's classes, which {classifier.name} does not have")
    pools = parse_pools(chosen, classifier.classes)
    if not pools:
        return classifier
    if classifier.activation != "softmax":
        raise ConfigError(
            f"--pool sums the probabilities of classes that exclude each other (softmax); the classes of "
            f"{classifier.name} do not (sigmoid): remove --pool"
        )
    size = classifier.preprocessing.size
    network = pool_outputs(classifier.network.eval(), pools, len(classifier.classes), size)
    return replace(classifier, network=network, classes=tuple(pools), activation="sigmoid")


def _with_layers(classifier: Classifier) -> Classifier:
    """Return a classifier with its target layer, earlier layer and head."""
    size, wrapped = classifier.preprocessing.size, hasattr(classifier.network, "pool_of_outputs")
    known = None if wrapped else _LAYERS.get(classifier.name)
    if known is None:
        n_logits = require_input(classifier.network, classifier.name, size)
        if n_logits != len(classifier.classes):
            raise ModelError(
                f"{classifier.name} has {n_logits} logits for {len(classifier.classes)} classes "
                f"({', '.join(classifier.classes[:MOST_LISTED])}); give the name of each output in order"
            )
        layers = choose_layers(classifier.network.eval(), size)
        return replace(classifier, target_layer=layers.target, earlier_layer=layers.earlier, head=layers.head)
    target, earlier, head = known
    return replace(classifier, target_layer=target, earlier_layer=earlier, head=head)


def choose_device(device: str) -> torch.device:
    """Return the device of a name; `auto` is the accelerator if there is one, else the CPU.

    Raises:
        ModelError: if torch has no such device or cannot use it.
    """
    if device == "auto":
        found = torch.accelerator.current_accelerator(check_available=True)
        return found or torch.device("cpu")
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f"the device {device!r} cannot be used ({first_line(error)}); use --device cpu"
        ) from error
    return torch.device(device)
