"""The options that name a classifier, common to all commands that run one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dogcam.cli.common import names_in

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


def classes_named(classifier: "Classifier", targets: Sequence[str]) -> tuple[str, ...]:
    """Return the classes that `--target` names: dog by default, all for `all`.

    Raises:
        ModelError: if the classifier does not know one of them.
    """
    if "all" in targets and "all" not in classifier.classes:
        return classifier.classes
    names = tuple(dict.fromkeys(targets or ("dog",)))
    for name in names:
        classifier.index_of(name)
    return names
