"""The command `dogcam train`: from a data set to trained weights, their model card and the history."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from dogcam.cli.common import names_in
from dogcam.cli.heartbeat import Heartbeat
from dogcam.cli.signals import keeping
from dogcam.data.download import default_cache
from dogcam.data.reading import read_split
from dogcam.data.sample import write_sample
from dogcam.draw.plots import Series, training_figure
from dogcam.draw.svg import to_svg
from dogcam.files import atomic_write, require_writable
from dogcam.models.checkpoints import save_checkpoint
from dogcam.models.classifier import choose_device
from dogcam.models.preprocessing import Preprocessing
from dogcam.models.registry import find_architecture, require_input
from dogcam.train.card import training_card
from dogcam.train.config import TrainingConfig
from dogcam.train.data import TrainingData
from dogcam.train.history import EpochRecord, History, environment_note
from dogcam.train.initial_weights import initial_network
from dogcam.train.loop import Purpose, TrainingObserver
from dogcam.train.recipe import Recipe, read_recipe
from dogcam.train.trainer import Trainer

CURVES = "history.svg"
DEFAULTS = TrainingConfig()


class ConsoleObserver(TrainingObserver):
    """Shows a progress bar on a terminal, and prints a line for each epoch.

    Args:
        console: the output.
        n_images: number of images of an epoch.
        epochs: number of epochs of the training.
        eval_split: name of the split on which average precision is measured.
    """

    def __init__(self, console: Console, n_images: int, epochs: int, eval_split: str) -> None:
        self.console = console
        self.epochs, self.eval_split, self.n_finished = epochs, eval_split, 0
        columns = (
            TextColumn("{task.fields[step]}"), BarColumn(), TextColumn("loss {task.fields[loss]:.4f}"),
            TextColumn("{task.fields[speed]:.0f} images/s"), TimeRemainingColumn(),
        )  # fmt: skip
        self.bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.heartbeat = Heartbeat(self._print)
        self.step, self.n_images, self.n_seen = "", n_images, 0
        self.task: TaskID = self.bar.add_task(
            "train", total=n_images * epochs, step="start", loss=float("nan"), speed=0.0
        )

    @contextmanager
    def watching(self) -> Iterator["ConsoleObserver"]:
        """Show the bar until the context ends."""
        with self.bar, nullcontext() if self.console.is_terminal else self.heartbeat:
            yield self

    def _print(self, line: str) -> None:
        self.heartbeat.spoken()
        # Long lines are not wrapped: in a log each stays one line.
        self.console.print(line, soft_wrap=True)

    def batch_ended(self, epoch: int, n_images: int, loss: float) -> None:
        """Advance the bar."""
        step = f"epoch {epoch + 1}/{self.epochs}"
        self.n_seen = n_images + (self.n_seen if step == self.step else 0)
        self._count(step, self.n_seen, self.n_images)
        speed = self.bar.tasks[0].speed or 0.0
        self.bar.update(self.task, advance=n_images, step=step, loss=loss, speed=speed)

    def predicted(self, purpose: Purpose, done: int, total: int) -> None:
        """Show the progress of the linear probe, or of an evaluation."""
        self._count(purpose, done, total)
        self.bar.update(self.task, step=f"{purpose} {done}/{total}")

    def _count(self, step: str, done: int, total: int) -> None:
        if step != self.step:
            self.heartbeat.begin(step, total)
            self.step = step
        self.heartbeat.count(done, total)

    def environment_changed(self, before: str, now: str) -> None:
        """Print that the weights will not be bitwise equal to those of an uninterrupted training."""
        self._print(environment_note(before, now))

    def epoch_ended(self, record: EpochRecord) -> None:
        """Print the line of the epoch."""
        self.n_finished = record.epoch
        self.bar.update(self.task, completed=record.epoch * record.n_images)
        self._print(
            f"epoch {record.epoch:>3}/{self.epochs}  loss {record.loss:.4f}  "
            f"rate {record.learning_rate:.2e}  mAP {record.mean_ap:.4f}  "
            f"{record.images_per_second:.1f} images/s, {record.waiting:.0%} of the time waiting for images"
        )
        aps = "  ".join(f"{name} {ap:.3f}" for name, ap in record.ap.items())
        self._print(f"  AP on {self.eval_split}  {aps}")


@click.command("train")
@click.option("--data", default="sample", show_default=True, help="`sample`, or the path of a data set.")
@click.option("--split", default="train", show_default=True, help="Training split.")
@click.option("--eval-split", default="val", show_default=True, help="Evaluation split: AP after each epoch.")
@click.option("--classes", metavar="NAME,...", help="Classes, in the order of the outputs.  [default: all]")
@click.option(
    "--recipe", "path", type=click.Path(path_type=Path), help="TOML file with the settings of a training."
)
@click.option("--arch", metavar="NAME", help="Architecture of torchvision or dogcam, or timm:NAME.")
@click.option("--init", metavar="imagenet|none|FILE", help="Initial weights.")
@click.option("--epochs", type=int, help=f"Number of epochs.  [default: {DEFAULTS.epochs}]")
@click.option(
    "--batch-size", type=int, help=f"Images per update of the weights.  [default: {DEFAULTS.batch_size}]"
)
@click.option(
    "--learning-rate",
    type=float,
    help=f"Of AdamW, before the schedule.  [default: {DEFAULTS.learning_rate:g}]",
)
@click.option(
    "--seed", type=int, help=f"Random seed of order, augmentation and head.  [default: {DEFAULTS.seed}]"
)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, mps or auto.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; their number affects rounding.")
@click.option(
    "--resume/--no-resume", default=True, show_default=True, help="Continue an interrupted training."
)
@click.option("--cache", type=click.Path(path_type=Path), help="Folder of the rendered sample.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder of weights, card and history."
)
def command(
    data: str,
    split: str,
    eval_split: str,
    classes: str | None,
    path: Path | None,
    arch: str | None,
    init: str | None,
    device: str,
    threads: int | None,
    resume: bool,
    cache: Path | None,
    out: Path,
    **training: Any,
) -> None:
    """Train a multi-label classifier on image labels.

    The command writes ARCH.safetensors with its model card ARCH.json, history.csv and history.svg to OUT. If
    it is interrupted, the same command continues after the last finished epoch. Options override the recipe;
    docs/training.md lists its settings. A split may be a subset, such as `train[:2000]`.
    """
    recipe = override(read_recipe(path) if path else Recipe(), training, arch=arch, init=init)
    console = Console(stderr=True, highlight=False, markup=False)
    if threads:
        torch.set_num_threads(threads)
    architecture = find_architecture(recipe.arch or ("sample_net" if data == "sample" else "resnet50"))
    size = (recipe.input_size or architecture.input_size,) * 2
    root = locate_data(data, cache or default_cache(), console)
    train_split, evaluation = (read_split(root, name) for name in (split, eval_split))
    names = names_in(classes) if classes is not None else train_split.class_names()
    # Check the data before weights are downloaded.
    preprocessing = Preprocessing(size, architecture.mean, architecture.std)
    chosen = TrainingData(names, train_split, evaluation, preprocessing)
    require_writable(out)
    config = recipe.training
    torch.manual_seed(config.seed)
    network, initial = initial_network(architecture, names, recipe.init)
    console.print(f"{architecture.name} starts from {initial}", soft_wrap=True)
    for pixels in {size[0], config.training_size or size[0]}:
        require_input(network, architecture.name, (pixels, pixels))
    network.to(choose_device(device))
    observer = ConsoleObserver(console, len(train_split), config.epochs, eval_split)
    with keeping(lambda: kept(observer, out)), observer.watching():
        history = Trainer(network, chosen, config, out, observer).fit(resume=resume)
    weights = out / f"{file_name(architecture.name)}.safetensors"
    save_checkpoint(
        weights, network.state_dict(), training_card(architecture, initial, chosen, config, history)
    )
    atomic_write(out / CURVES, draw(history, eval_split))
    console.print(f"mAP on {eval_split}: {history.last.mean_ap:.4f}")
    click.echo(str(weights))


def override(recipe: Recipe, training: dict[str, Any], **settings: Any) -> Recipe:
    """Return a recipe with the options that were given.

    Args:
        recipe: source of all other settings.
        training: settings of the table `training`; None if not given.
        settings: other settings of the recipe.

    Raises:
        ConfigError: if a value is out of range.
    """
    values = recipe.model_dump()
    values["training"] |= _given(training)
    return Recipe(**values | _given(settings))


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def kept(observer: ConsoleObserver, out: Path) -> str:
    """Return what an interrupted training keeps, and how to continue it."""
    n = observer.n_finished
    if n == 0:
        return "no epoch is finished, so the same command starts from the beginning"
    return f"{n} of {observer.epochs} epochs are kept in {out}; the same command continues after them"


def locate_data(data: str, cache: Path, console: Console) -> Path:
    """Return the folder of the data set; the sample is rendered if it is missing."""
    if data != "sample":
        return Path(data)
    with console.status("rendering the sample data set"):
        return write_sample(cache / "sample")


def draw(history: History, split: str) -> str:
    """Return the curves of a training as SVG text, with a description in words."""
    epochs = [record.epoch for record in history.records]
    losses = [record.loss for record in history.records]
    means = [record.mean_ap for record in history.records]
    alt = (
        f"Training loss and mAP on {split} by epoch: loss from {losses[0]:.4f} to {losses[-1]:.4f}, "
        f"mAP from {means[0]:.4f} to {means[-1]:.4f}, in {len(epochs)} epochs."
    )
    figure = training_figure(Series("loss", epochs, losses), Series("mAP", epochs, means), split=split)
    return to_svg(figure, name="training", alt=alt, theme="standalone")


def file_name(architecture: str) -> str:
    """Return a file name for an architecture: `timm_resnet18.a1` for `timm:resnet18.a1`."""
    return architecture.replace(":", "_").replace("/", "_")
