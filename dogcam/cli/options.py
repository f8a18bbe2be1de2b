"""Options that several commands share: the classifier and its maps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dogcam.cam import METHODS, Views
from dogcam.cli.common import FRACTION, names_in
from dogcam.detection.boxes_from_maps import LocalisationRule
from dogcam.detection.detector import Detector
from dogcam.errors import ConfigError
from dogcam.structures import defaults
from dogcam.structures.presets import LOCALISER

if TYPE_CHECKING:
    from dogcam.models.classifier import Classifier
    from dogcam.network.activation import Activation


@dataclass(frozen=True)
class ClassifierOptions:
    """The classifier that a command line names.

    Attributes:
        model, checkpoint, device: as for `dogcam.models.classifier.load_classifier`.
        classes: names of the outputs, as `names_in` reads them.
        activation: of the head.
        pools: pools of outputs.
    """

    model: str | None
    checkpoint: Path | None
    device: str = "auto"
    classes: str | None = None
    activation: "Activation | None" = None
    pools: tuple[str, ...] = ()

    def load(self, default: str | None = None) -> "Classifier":
        """Load the classifier; `default` is the model if neither model nor checkpoint is named."""
        from dogcam.models.classifier import load_classifier

        return load_classifier(
            self.model or (None if self.checkpoint else default), self.checkpoint, self.device,
            classes=names_in(self.classes) if self.classes else None, activation=self.activation,
            pools=self.pools or None,
        )  # fmt: skip


MODEL = click.option(
    "--model", metavar="NAME",
    help="torchvision name, timm:NAME or package.module:function.  [default: the one in the model card]",
)  # fmt: skip
CHECKPOINT = click.option(
    "--checkpoint", type=click.Path(path_type=Path), help="Weights.  [default: the library's, of ImageNet]"
)
CLASSES = click.option(
    "--classes", metavar="FILE|NAME,...|imagenet",
    help="Outputs in their order, for a checkpoint without a card; a file has one name a line.",
)  # fmt: skip
ACTIVATION = click.option(
    "--activation", type=click.Choice(["sigmoid", "softmax"]),
    help="Of the head, for a checkpoint whose card does not state it.",
)  # fmt: skip
LOCALISER_FILE = click.option(
    "--localiser", type=click.Path(path_type=Path),
    help="File of dogcam train-localiser, for this classifier; see docs/boxes.md.",
)  # fmt: skip
DEVICE = click.option("--device", default="auto", show_default=True, help="cpu, cuda, mps or auto.")
POOL = click.option(
    "--pool", "pools", multiple=True, metavar="voc|none|NAME=FILE|NAME=MEMBER,...",
    help="Classes to pool; members are names, indices or ranges (151-268).  [default: voc for ImageNet]",
)  # fmt: skip


def classifier_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a classifier to a command, which receives them as `options`."""

    @MODEL
    @CHECKPOINT
    @CLASSES
    @ACTIVATION
    @POOL
    @DEVICE
    @wraps(command)
    def with_options(
        model: str | None,
        checkpoint: Path | None,
        device: str,
        classes: str | None,
        activation: "Activation | None",
        pools: tuple[str, ...],
        **others: Any,
    ) -> None:
        chosen = ClassifierOptions(model, checkpoint, device, classes, activation, pools)
        command(options=chosen, **others)

    return with_options


def preset_with(preset: str | None, localiser: Path | None) -> str | None:
    """Return the preset that is asked for; the file of a localiser implies the preset `localiser`.

    Raises:
        ConfigError: if that preset is given without its file, or another one with a file.
    """
    chosen = preset or (LOCALISER if localiser else None)
    if (chosen == LOCALISER) != (localiser is not None):
        raise ConfigError(
            f"--preset {chosen} was given {'with' if localiser else 'without'} --localiser; expected both "
            "--preset localiser and --localiser FILE, which dogcam train-localiser writes, or neither"
        )
    return chosen


@dataclass(frozen=True)
class MapOptions:
    """The maps and boxes that a command line asks for.

    Attributes:
        targets: classes, see `Classifier.classes_named`.
        method: name of the CAM method.
        layer: the target layer; None for the classifier's own.
        flip: average over mirror images too.
        cam_threshold: fraction of the peak of a map from which on a pixel is foreground.
    """

    targets: tuple[str, ...]
    method: str
    layer: str | None
    flip: bool
    cam_threshold: float

    def detector(self, classifier: "Classifier", scales: Sequence[float] = (1.0,)) -> Detector:
        """Return the detector of these options; maps are averaged over the scales of the input."""
        names = classifier.classes_named(self.targets)
        request = METHODS[self.method](self.layer or classifier.target_layer)
        rule, views = LocalisationRule(self.cam_threshold), Views(tuple(scales), self.flip)
        return Detector(classifier, names, request, rule, views)


CAM_THRESHOLD = click.option(
    "--cam-threshold", type=FRACTION, default=defaults.CAM_THRESHOLD, show_default=True,
    help="Fraction of a map's peak from which on a pixel belongs to an object.",
)  # fmt: skip
BATCH_SIZE = click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=defaults.BATCH_SIZE,
    show_default=True,
    help="Number of images in a forward pass.",
)


def map_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of maps and boxes to a command, which receives them as `maps`."""

    @click.option(
        "--target",
        "targets",
        multiple=True,
        help=f"A class; repeatable, or all.  [default: {defaults.TARGET}]",
    )
    @click.option("--method", type=click.Choice(list(METHODS)), default="grad_cam", show_default=True)
    @click.option("--layer", help="The target layer.  [default: the last one before pooling]")
    @click.option("--flip", is_flag=True, help="Average over mirror images too.")
    @CAM_THRESHOLD
    @wraps(command)
    def with_maps(
        targets: tuple[str, ...],
        method: str,
        layer: str | None,
        flip: bool,
        cam_threshold: float,
        **others: Any,
    ) -> None:
        command(maps=MapOptions(targets, method, layer, flip, cam_threshold), **others)

    return with_maps
