"""The command `dogcam train-localiser`: from a classifier and image labels to a file of a localiser."""

import shutil
from pathlib import Path
from typing import Any

import click

from dogcam.cli.options import ClassifierOptions, classifier_options
from dogcam.cli.progress import StepProgress
from dogcam.cli.signals import keeping
from dogcam.data.reading import read_split
from dogcam.detection.localiser import load_localiser
from dogcam.errors import ConfigError, ModelError
from dogcam.files import path_inside, require_writable
from dogcam.files.locks import dir_lock
from dogcam.models.classifier import Classifier
from dogcam.train.localiser.config import LocaliserConfig
from dogcam.train.localiser.training import EXAMPLES, LocaliserEpoch, identity_of, train_localiser
from dogcam.train.state import StateFile

FILE = "localiser.safetensors"
DEFAULTS = LocaliserConfig()


@click.command("train-localiser")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="A data set with labels.")
@click.option("--split", default="train", show_default=True, help="Training split.")
@classifier_options
@click.option("--epochs", type=int, help=f"Number of epochs.  [default: {DEFAULTS.epochs}]")
@click.option(
    "--mosaics", type=float, help=f"Mosaics for each image with a pseudo-box.  [default: {DEFAULTS.mosaics}]"
)
@click.option("--seed", type=int, help=f"Of mosaics, order and initial weights.  [default: {DEFAULTS.seed}]")
@click.option(
    "--resume/--no-resume", default=True, show_default=True, help="Continue an interrupted training."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the result.")
def command(
    data: Path, split: str, options: ClassifierOptions, resume: bool, out: Path, **settings: Any
) -> None:
    """Train a localiser for a classifier, with image labels alone.

    The boxes that the classifier finds for the labels of each training image are pseudo-boxes. The localiser
    learns to regress them from the activations of the classifier, also in mosaics of several images.
    Annotated boxes are not used. The command writes localiser.safetensors to OUT, for `dogcam detect
    --localiser` and `dogcam-report run --localiser`. The files of the training in OUT are removed at the end.
    If it is interrupted, the same command continues. A finished training is not repeated.
    """
    config = LocaliserConfig(**{name: value for name, value in settings.items() if value is not None})
    images = read_split(data, split)
    classifier = options.load("efficientnet_lite0")
    require_writable(out)
    path, finished = out / FILE, 0
    if resume and path.exists():
        identity = identity_of(classifier, images, config)
        if _is_of(path, classifier, identity):
            _remove_working_files(out, identity)
            click.echo(str(path))
            return

    def ended(epoch: LocaliserEpoch) -> None:
        nonlocal finished
        finished = epoch.epoch
        progress.say(
            f"epoch {epoch.epoch}/{config.epochs}: loss {epoch.loss:.4f}, IoU with the pseudo-boxes "
            f"{epoch.iou:.4f}"
        )

    def kept() -> str:
        return (
            f"{finished} of {config.epochs} epochs and the finished examples are kept in {out}; the same "
            "command continues after them"
        )

    with keeping(kept), StepProgress() as progress:
        localiser = train_localiser(
            classifier, images, config, out, resume=resume, track=progress.track, epoch_ended=ended
        )
    localiser.save(path)
    _remove_working_files(out, localiser.card.training)
    click.echo(str(path))


def _remove_working_files(out: Path, identity: dict[str, Any]) -> None:
    """Remove the examples and, last, the state of a finished training; those of another training are kept.

    A training that was killed while it removed them has still its state.
    """
    state = StateFile(out, identity, LocaliserEpoch)
    with dir_lock(out):
        try:
            if state.read() is None:
                return
        except (ConfigError, ModelError):
            return
        if (examples := path_inside(out, EXAMPLES)).exists():
            shutil.rmtree(examples)
        state.path.unlink()


def _is_of(path: Path, classifier: Classifier, identity: dict[str, Any]) -> bool:
    """Return whether a file is the result of the training of an identity."""
    try:
        return load_localiser(path, classifier).card.training == identity
    except ModelError:
        return False
