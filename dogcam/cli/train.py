"""The command `dogcam train`: a data set in, weights with their card and the training's history out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from dogcam.cli.common import names_in
from dogcam.data.download import default_cache
from dogcam.data.reading import read_split
from dogcam.data.sample import write_sample
from dogcam.draw.plots import Series, training_figure
from dogcam.draw.svg import to_svg
from dogcam.errors import ConfigError
from dogcam.files import atomic_write, require_writable
from dogcam.models.checkpoints import save_checkpoint
from dogcam.models.classifier import choose_device
from dogcam.models.preprocessing import Preprocessing
from dogcam.models.registry import find_architecture, require_input
from dogcam.models.two_scale import HighResolutionPass
from dogcam.train.augment import Augmentation, Spread
from dogcam.train.card import training_card
from dogcam.train.choices import choices_of
from dogcam.train.config import BodyMode, Cosine, Precision, Schedule, Steps, TrainingConfig
from dogcam.train.history import EpochRecord, History
from dogcam.train.initial_weights import starting_network
from dogcam.train.loop import Observer, require_learnable, train

DEFAULTS = TrainingConfig()
MEGABYTE = 1024**2

CURVES = "history.svg"


class ConsoleObserver(Observer):
    """Shows a bar where somebody watches, and a line for each epoch everywhere.

    Args:
        console: where to write.
        n_images: how many images an epoch has.
        epochs: how many epochs the training has.
        eval_split: what average precision is measured on.
    """

    def __init__(self, console: Console, n_images: int, epochs: int, eval_split: str) -> None:
        self.console = console
        self.epochs, self.eval_split = epochs, eval_split
        columns = (
            TextColumn("epoch {task.fields[epoch]}"), BarColumn(), TextColumn("loss {task.fields[loss]:.4f}"),
            TextColumn("{task.fields[speed]:.0f} images/s"), TimeRemainingColumn(),
        )  # fmt: skip
        self.bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        fields = {"epoch": f"1/{epochs}", "loss": float("nan"), "speed": 0.0}
        self.task: TaskID = self.bar.add_task("train", total=n_images * epochs, **fields)

    @contextmanager
    def watching(self) -> Iterator["ConsoleObserver"]:
        """Show the bar for as long as the context lasts."""
        with self.bar:
            yield self

    def _say(self, line: str) -> None:
        # A line stays one in a log, however narrow it is thought to be.
        self.console.print(line, soft_wrap=True)

    def batch_ended(self, epoch: int, n_images: int, loss: float) -> None:
        """Move the bar on."""
        speed = self.bar.tasks[0].speed or 0.0
        self.bar.update(
            self.task, advance=n_images, epoch=f"{epoch + 1}/{self.epochs}", loss=loss, speed=speed
        )

    def head_is_fitted(self, n_images: int) -> None:
        """Say why nothing moves yet."""
        self._say(f"fitting the head to {n_images:,} images before the first epoch")

    def went_on_elsewhere(self, before: str, now: str) -> None:
        """Say that the weights will not be those of a training without an interruption, bit for bit."""
        self._say(
            f"the epochs so far ran on {before}; now on {now}: the last bits of the weights hang on that"
        )

    def epoch_ended(self, record: EpochRecord) -> None:
        """Write the epoch's line."""
        self.bar.update(self.task, completed=record.epoch * record.n_images)
        self._say(
            f"epoch {record.epoch:>3}/{self.epochs}  loss {record.loss:.4f}  "
            f"rate {record.learning_rate:.2e}  mAP {record.mean_ap:.4f}  "
            f"{record.images_per_second:.1f} images/s, {record.waiting:.0%} of the time waiting for pictures"
        )
        aps = "  ".join(f"{name} {ap:.3f}" for name, ap in record.ap.items())
        self._say(f"  AP on {self.eval_split}  {aps}")


@click.command("train")
@click.option(
    "--data", default="sample", show_default=True, help="`sample` (rendered) or a folder in VOC layout."
)
@click.option("--split", default="train", show_default=True, help="The images to learn from.")
@click.option("--eval-split", default="val", show_default=True, help="The images to measure AP on.")
@click.option("--limit", type=click.IntRange(min=1), help="Take only the first images of each split.")
@click.option(
    "--classes", metavar="NAME,NAME,...", help="The outputs, in this order; all that occur by default."
)
@click.option(
    "--arch", "--model", "model", metavar="NAME",
    help="One of dogcam's own networks, torchvision's, or timm:NAME.  [default: sample_net for sample, else "
    "resnet50]",
)  # fmt: skip
@click.option(
    "--start", metavar="imagenet|none|FILE",
    help="The starting weights.  [default: imagenet; none for sample_net]",
)  # fmt: skip
@click.option("--input-size", type=click.IntRange(min=16), help="Pixels a side.  [default: the network's]")
@click.option(
    "--high-resolution-size", type=click.IntRange(min=16), metavar="PIXELS",
    help="In use, look again at a copy of this many pixels a side.  [default: do not]",
)  # fmt: skip
@click.option(
    "--high-resolution-share",
    type=float,
    help=f"Share of the places of that copy that score it.  [default: {HighResolutionPass.share:g}]",
)
@click.option("--training-size", type=click.IntRange(min=16), help="Pixels a side in training, if others.")
@click.option(
    "--freeze",
    "frozen",
    default="",
    metavar="LAYER,...",
    help="Layers that keep their starting weights and statistics.",
)
@click.option(
    "--body-mode",
    type=click.Choice(choices_of(BodyMode)),
    default=DEFAULTS.body_mode,
    show_default=True,
    help="`evaluate` keeps batch statistics, and drops no layer.",
)
@click.option("--head-rate", default=DEFAULTS.head_rate, show_default=True, help="The head's rate, relative.")
@click.option(
    "--probe", type=float, metavar="PENALTY",
    help="Fit the head before the first epoch, with this penalty on its squared weights.",
)  # fmt: skip
@click.option(
    "--known-alone/--no-known-alone",
    default=DEFAULTS.known_alone,
    show_default=True,
    help="Outputs that an older head knows hear it alone.",
)
@click.option(
    "--averaging", default=DEFAULTS.averaging, show_default=True, help="Memory of the weights' average."
)
@click.option(
    "--start-share", default=DEFAULTS.start_share, show_default=True,
    help="Share of the starting weights in what comes out.",
)  # fmt: skip
@click.option(
    "--distillation",
    default=DEFAULTS.distillation,
    show_default=True,
    help="Weight of keeping the older head's answers.",
)
@click.option(
    "--spread",
    type=click.Choice(choices_of(Spread)),
    default=Augmentation.spread,
    show_default=True,
    help="Take parts of pictures away.",
)
@click.option("--epochs", default=DEFAULTS.epochs, show_default=True)
@click.option("--batch-size", default=DEFAULTS.batch_size, show_default=True)
@click.option("--learning-rate", default=DEFAULTS.learning_rate, show_default=True)
@click.option("--weight-decay", default=DEFAULTS.weight_decay, show_default=True)
@click.option("--schedule", type=click.Choice(["steps", "cosine"]), default="steps", show_default=True)
@click.option("--steps", metavar="EPOCH,...", help="Where the rate falls (steps).  [default: 5,15]")
@click.option("--step-factor", type=float, help=f"By what it falls (steps).  [default: {Steps.factor:g}]")
@click.option(
    "--warm-up", type=float,
    help=f"Epochs in which the rate rises (cosine).  [default: {Cosine.warm_up:g}]",
)  # fmt: skip
@click.option(
    "--min-area", default=Augmentation.min_area, show_default=True, help="Smallest share that a crop keeps."
)
@click.option(
    "--flip/--no-flip", default=Augmentation.flip, show_default=True, help="Mirror every other image."
)
@click.option(
    "--colour", default=Augmentation.colour, show_default=True, help="How far colours vary, 0 to 1."
)
@click.option("--seed", default=DEFAULTS.seed, show_default=True)
@click.option(
    "--precision", type=click.Choice(choices_of(Precision)), default=DEFAULTS.precision, show_default=True
)
@click.option("--device", default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; they affect the last bits.")
@click.option(
    "--memory", default=DEFAULTS.memory_limit // MEGABYTE, show_default=True, help="MB of images to keep."
)
@click.option(
    "--resume/--no-resume", default=True, show_default=True, help="Go on where an earlier run stopped."
)
@click.option("--cache", type=click.Path(path_type=Path), help="Where the rendered sample is kept.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the results.")
def command(
    data: str,
    split: str,
    eval_split: str,
    limit: int | None,
    classes: str | None,
    model: str | None,
    start: str | None,
    input_size: int | None,
    device: str,
    threads: int | None,
    resume: bool,
    cache: Path | None,
    out: Path,
    **settings: object,
) -> None:
    """Train a multi-label classifier on image labels alone.

    Writes ARCH.safetensors with its card (ARCH.json), history.csv and its curves in history.svg to the folder
    OUT. Interrupted at any moment, the same command goes on after the last whole epoch.

    Every split may be a part of one, in an order that is shuffled once and for all: `--split train[:2000]
    --eval-split train[2000:]` keeps the rest aside.
    """
    config = make_config(**settings)
    architecture = find_architecture(model or ("sample_net" if data == "sample" else "resnet50"))
    size = (input_size or architecture.input_size,) * 2
    console = Console(stderr=True, highlight=False)
    if threads:
        torch.set_num_threads(threads)
    root = locate_data(data, cache or default_cache(), console)
    train_split, eval_images = (read_split(root, name, limit) for name in (split, eval_split))
    names = names_in(classes) if classes else train_split.class_names()
    # Said now rather than after the weights were fetched, or after the first epoch.
    require_learnable(names, train_split, eval_images)
    if not set(names) & set(eval_images.class_names()):
        raise ConfigError(
            f"no image of {eval_split!r} shows any of {', '.join(names)}; name another --eval-split"
        )
    require_writable(out)
    torch.manual_seed(config.seed)
    network, begun = starting_network(architecture, names, start)
    console.print(f"{architecture.name} starts with {begun}", soft_wrap=True)
    preprocessing = Preprocessing(size, architecture.mean, architecture.std)
    for pixels in {size[0], config.training_size or size[0]}:
        require_input(network, architecture.name, (pixels, pixels))
    network.to(choose_device(device))
    with ConsoleObserver(console, len(train_split), config.epochs, eval_split).watching() as observer:
        history = train(
            network, names, train_split, eval_images, preprocessing, config, out,
            resume=resume, observer=observer,
        )  # fmt: skip
    path = out / f"{file_name(architecture.name)}.safetensors"
    card = training_card(architecture, begun, names, preprocessing, config, train_split, eval_images, history)
    save_checkpoint(path, network.state_dict(), card)
    atomic_write(out / CURVES, draw(history, eval_split))
    console.print(f"mAP on {eval_split}: {history.last.mean_ap:.4f}")
    click.echo(str(path))


def locate_data(data: str, cache: Path, console: Console) -> Path:
    """Return the folder of the data set; the sample is rendered where it is not there yet."""
    if data != "sample":
        return Path(data)
    with console.status("rendering the sample data set"):
        return write_sample(cache / "sample")


def make_config(
    *,
    schedule: str,
    steps: str | None,
    step_factor: float | None,
    warm_up: float | None,
    min_area: float,
    flip: bool,
    colour: float,
    spread: Spread,
    frozen: str,
    high_resolution_size: int | None,
    high_resolution_share: float | None,
    memory: int,
    **settings: object,
) -> TrainingConfig:
    """Build the training's settings from the command's options.

    Raises:
        ConfigError: where an option has a value that it cannot have.
    """
    return TrainingConfig(
        schedule=_schedule(schedule, steps, step_factor, warm_up),
        augmentation=Augmentation(min_area, flip, colour, spread), frozen=names_in(frozen),
        high_resolution=_high_resolution(high_resolution_size, high_resolution_share),
        memory_limit=memory * MEGABYTE, **settings,
    )  # fmt: skip


def _schedule(kind: str, steps: str | None, step_factor: float | None, warm_up: float | None) -> Schedule:
    if kind == "cosine":
        _require_unset("--schedule cosine", {"--steps": steps, "--step-factor": step_factor})
        return Cosine(**_given(warm_up=warm_up))
    _require_unset("--schedule steps", {"--warm-up": warm_up})
    return Steps(**_given(boundaries=None if steps is None else _epochs(steps), factor=step_factor))


def _high_resolution(size: int | None, share: float | None) -> HighResolutionPass | None:
    if size is None:
        _require_unset("no --high-resolution-size", {"--high-resolution-share": share})
        return None
    return HighResolutionPass((size, size), **_given(share=share))


def _given(**options: object) -> dict[str, object]:
    """Return the options that were given; the others keep the defaults of what they are options of."""
    return {name: value for name, value in options.items() if value is not None}


def _require_unset(where: str, options: dict[str, object]) -> None:
    """Refuse options that would be ignored."""
    given = _given(**options)
    if given:
        raise ConfigError(f"{' and '.join(given)} would do nothing with {where}; leave out, or change that")


def draw(history: History, split: str) -> str:
    """Return the curves of a training as SVG text, with what they show in words."""
    epochs = [record.epoch for record in history.records]
    losses = [record.loss for record in history.records]
    means = [record.mean_ap for record in history.records]
    alt = (
        f"Training loss and mAP on {split} by epoch: the loss goes from {losses[0]:.4f} to {losses[-1]:.4f}, "
        f"mAP from {means[0]:.4f} to {means[-1]:.4f}, in {len(epochs)} epochs."
    )
    figure = training_figure(Series("loss", epochs, losses), Series("mAP", epochs, means), split=split)
    return to_svg(figure, name="training", alt=alt, theme="standalone")


def file_name(architecture: str) -> str:
    """Return an architecture's name as a file may be called: `timm:resnet18.a1` is `timm_resnet18.a1`."""
    return architecture.replace(":", "_").replace("/", "_")


def _epochs(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(name) for name in names_in(text))
    except ValueError as error:
        raise ConfigError(f"--steps is {text!r}; expected numbers of epochs, such as 5,15") from error
