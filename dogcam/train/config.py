"""The settings of a training: optimizer, schedule, augmentation, regularisation, random seed."""

import math
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, field_validator, model_validator

from dogcam.models.two_scale import HighResolutionPass
from dogcam.train.augment import Augmentation
from dogcam.train.settings import Settings

Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Names = Annotated[tuple[str, ...], Field(strict=False)]

STEP_FACTOR = 0.1


class Steps(Settings):
    """The learning rate is multiplied by 0.1 at the start of each epoch in `boundaries`.

    It is the schedule of the published VOC2007 experiment.

    Attributes:
        boundaries: increasing numbers of epochs, from 1 (the first epoch is 0).
    """

    kind: Literal["steps"] = "steps"
    boundaries: Annotated[tuple[Count, ...], Field(strict=False)] = (5, 15)

    @field_validator("boundaries")
    @classmethod
    def _increasing(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        if list(values) != sorted(set(values)):
            raise ValueError("expected increasing numbers of epochs")
        return values

    def multiplier(self, epoch: float, epochs: int) -> float:
        """Return the multiplier of the base learning rate after `epoch` of `epochs` epochs."""
        return STEP_FACTOR ** sum(epoch >= boundary for boundary in self.boundaries)


class Cosine(Settings):
    """The learning rate rises linearly for `warm_up` epochs, then falls to 0 along half a cosine."""

    kind: Literal["cosine"] = "cosine"
    warm_up: NonNegative = 2.0

    def multiplier(self, epoch: float, epochs: int) -> float:
        """Return the multiplier of the base learning rate after `epoch` of `epochs` epochs."""
        if epoch < self.warm_up:
            return epoch / self.warm_up
        return (1 + math.cos(math.pi * (epoch - self.warm_up) / (epochs - self.warm_up))) / 2


class TrainingConfig(Settings):
    """The settings of a training; the defaults are those of the published VOC2007 experiment.

    Attributes:
        epochs: number of passes over the training images.
        batch_size: images per update of the weights; the last batch of an epoch may be smaller.
        learning_rate: base learning rate of AdamW, before the multiplier of the schedule.
        weight_decay: weight decay of AdamW.
        schedule: how the learning rate changes.
        augmentation: how training images are varied.
        seed: random seed. Epoch e draws its order and its augmentation from `seed + e` alone, so that no
            random state has to survive an interruption.
        training_size: side in pixels of the training images; None for the input size of evaluation. Objects
            look larger in random crops than in whole images; a smaller training size compensates for that.
        frozen_layers: dotted names of layers that keep their initial weights and statistics.
        freeze_batch_norm: keep the backbone in evaluation mode: its batch statistics are fixed, and its
            dropout and stochastic depth are off.
        head_lr_multiplier: learning rate of the head over that of the backbone.
        linear_probe_penalty: penalty on the squared weights of the linear probe that is fitted before the
            first epoch (see `dogcam.train.linear_probe`); None for no linear probe.
        prior_head_only: classes of the prior head get no new linear weights; the high-resolution pass alone
            uses those of the linear probe.
        ema_decay: decay of the exponential moving average of the weights; if it is above 0, the average is
            evaluated and stored.
        wise_ft_weight: share of the initial weights (with the linear probe, if it is fitted) in the final
            weights (Wortsman et al. 2022).
        distillation: weight of the loss that keeps the outputs of the prior head close to their initial
            values, relative to the binary cross-entropy summed over the classes.
        high_resolution: the second pass of evaluation, at a higher resolution; None for none. Training uses
            one pass.
        memory_limit: bytes of decoded training images to keep in memory.

    Raises:
        ConfigError: if a value is out of range.
    """

    epochs: Count = 20
    batch_size: Count = 32
    learning_rate: Positive = 5e-5
    weight_decay: NonNegative = 0.01
    schedule: Annotated[Steps | Cosine, Field(discriminator="kind")] = Steps()
    augmentation: Augmentation = Augmentation()
    seed: Annotated[int, Field(ge=0)] = 42
    training_size: Count | None = None
    frozen_layers: Names = ()
    freeze_batch_norm: bool = False
    head_lr_multiplier: Positive = 1.0
    linear_probe_penalty: NonNegative | None = None
    prior_head_only: bool = False
    ema_decay: Share = 0.0
    wise_ft_weight: Share = 0.0
    distillation: NonNegative = 0.0
    high_resolution: HighResolutionPass | None = None
    memory_limit: Annotated[int, Field(ge=0)] = 2 * 1024**3

    @field_validator("high_resolution", mode="before")
    @classmethod
    def _from_table(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if unknown := value.keys() - {"size", "share"}:
            raise ValueError(f"expected the settings size and share, found {', '.join(sorted(unknown))}")
        return TypeAdapter(HighResolutionPass).validate_python(value)

    @model_validator(mode="after")
    def _ends_warm_up(self) -> "TrainingConfig":
        if isinstance(self.schedule, Cosine) and self.schedule.warm_up >= self.epochs:
            raise ValueError(
                f"schedule.warm_up is {self.schedule.warm_up:g} of {self.epochs} epochs; expected fewer than "
                "all of them"
            )
        return self

    def rate(self, epoch: float) -> float:
        """Return the learning rate after `epoch` epochs, which may be fractional."""
        return self.learning_rate * self.schedule.multiplier(epoch, self.epochs)

    def describe(self) -> dict[str, Any]:
        """Return the settings that affect the weights, as plain values for JSON."""
        return self.model_dump(mode="json", exclude={"memory_limit"})
