"""What a training is asked to do, every setting of it: learning rate, augmentation, seed."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

from dogcam.errors import ConfigError
from dogcam.models.two_scale import HighResolutionPass
from dogcam.train.augment import Augmentation
from dogcam.train.choices import require_choice

Precision = Literal["float32", "bfloat16"]
BodyMode = Literal["train", "evaluate"]


@dataclass(frozen=True)
class Steps:
    """A learning rate that is multiplied by `factor` at the start of each epoch of `boundaries`."""

    boundaries: tuple[int, ...] = (5, 15)
    factor: float = 0.1

    def __post_init__(self) -> None:
        if list(self.boundaries) != sorted(set(self.boundaries)) or min(self.boundaries, default=1) < 1:
            raise ConfigError(
                f"the learning rate's steps are at epochs {list(self.boundaries)}; expected increasing "
                "numbers from 1 on (epochs count from 0)"
            )
        _require_positive("step factor", self.factor)

    def multiplier(self, epoch: float, epochs: int) -> float:
        """Return what the base rate is multiplied by after `epoch` of `epochs` epochs."""
        return self.factor ** sum(epoch >= boundary for boundary in self.boundaries)


@dataclass(frozen=True)
class Cosine:
    """A learning rate that rises linearly for `warm_up` epochs, then falls to 0 along half a cosine."""

    warm_up: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.warm_up < math.inf:
            raise ConfigError(f"warm_up is {self.warm_up:g} epochs; expected 0 or more")

    def multiplier(self, epoch: float, epochs: int) -> float:
        """Return what the base rate is multiplied by after `epoch` of `epochs` epochs."""
        if epoch < self.warm_up:
            return epoch / self.warm_up
        return (1 + math.cos(math.pi * (epoch - self.warm_up) / (epochs - self.warm_up))) / 2


Schedule = Steps | Cosine


@dataclass(frozen=True)
class TrainingConfig:
    """The settings of a training; the defaults are those of the published VOC2007 experiment.

    Attributes:
        epochs: how often every training image is shown.
        batch_size: images between two updates of the weights; the last batch of an epoch may be smaller.
        learning_rate: AdamW's rate before the schedule's multiplier.
        weight_decay: AdamW's.
        schedule: how the rate changes.
        augmentation: how training images are varied.
        seed: epoch e draws its order and its variations from `seed + e` alone, so that no random state has
            to survive an interruption.
        training_size: pixels a side that pictures are trained at; None for the size they are used at.
            Objects look larger in random crops than in whole pictures, which a smaller size makes up for.
        frozen: dotted names of layers that keep their starting weights.
        body_mode: "evaluate" keeps the batch statistics of all but the head as they are, and leaves out what
            is random in it, such as dropped layers.
        head_rate: the learning rate of the network's last part, its head, over that of the others.
        probe: penalty on the squared weights of a head that is fitted before anything else learns (see
            `dogcam.train.linear_probe`); None to begin with the head as it is.
        known_alone: outputs that an older head knows have no linear weights of their own, but for what single
            places hear in a closer look.
        averaging: share that an update leaves of the moving average of the weights; where it is more than 0,
            the average is what is measured and what comes out.
        start_share: share of the starting weights (with the fitted head, if it was) in what comes out.
        distillation: weight of the loss that keeps an older head's answers what they were, beside the
            binary cross-entropy summed over the classes, which has weight 1.
        high_resolution: the second pass at a higher resolution in evaluation; training uses one pass.
            None for no second pass.
        precision: number format of the training's forward pass; weights and evaluation stay float32.
        memory_limit: bytes of decoded training images that may be kept.

    Raises:
        ConfigError: where a value is out of its range.
    """

    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    schedule: Schedule = field(default_factory=Steps)
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 42
    training_size: int | None = None
    frozen: tuple[str, ...] = ()
    body_mode: BodyMode = "train"
    head_rate: float = 1.0
    probe: float | None = None
    known_alone: bool = False
    averaging: float = 0.0
    start_share: float = 0.0
    distillation: float = 0.0
    high_resolution: HighResolutionPass | None = None
    precision: Precision = "float32"
    memory_limit: int = 2 * 1024**3

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "head_rate"):
            _require_positive(name, getattr(self, name))
        for name in ("weight_decay", "seed", "distillation", "memory_limit"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 0 or more")
        if self.probe is not None and not 0 <= self.probe < math.inf:
            raise ConfigError(f"probe is {self.probe:g}; expected a penalty of 0 or more")
        require_choice("precision", self.precision, Precision)
        require_choice("body_mode", self.body_mode, BodyMode)
        if not 0 <= self.averaging < 1:
            raise ConfigError(f"averaging is {self.averaging:g}; expected a share from 0 to below 1")
        if not 0 <= self.start_share < 1:
            raise ConfigError(f"start_share is {self.start_share:g}; expected a share from 0 to below 1")
        if self.training_size is not None:
            _require_positive("training_size", self.training_size)
        if isinstance(self.schedule, Cosine) and self.schedule.warm_up >= self.epochs:
            raise ConfigError(
                f"warm_up takes {self.schedule.warm_up:g} of {self.epochs} epochs; expected fewer than all"
            )

    def rate(self, epoch: float) -> float:
        """Return the learning rate after `epoch` epochs, a fraction included."""
        return self.learning_rate * self.schedule.multiplier(epoch, self.epochs)

    def describe(self) -> dict:
        """Return the settings that decide which weights come out, as plain values for JSON."""
        settings = asdict(self)
        del settings["memory_limit"]
        settings["schedule"] = {"kind": type(self.schedule).__name__.lower(), **asdict(self.schedule)}
        return {name: _plain(value) for name, value in settings.items()}


def _plain(value: object) -> object:
    """Return a value as JSON gives it back: lists for tuples."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _require_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ConfigError(f"{name} is {value:g}; expected more than 0")
