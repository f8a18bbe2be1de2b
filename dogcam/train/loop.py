"""The training loop: one epoch of updates of the weights."""

import math
import time
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Literal, cast

import torch
from torch import Tensor, nn

from dogcam.errors import ConfigError
from dogcam.network.heads import JointHead
from dogcam.train.batches import Batches, prefetched
from dogcam.train.config import TrainingConfig
from dogcam.train.ema import WeightAverage
from dogcam.train.fine_tuning import joint_head_of, parameter_groups, prior_outputs_only, set_mode
from dogcam.train.history import EpochRecord
from dogcam.train.linear_probe import fit_head, head_inputs
from dogcam.train.losses import Distillation, label_loss

Purpose = Literal["linear probe", "evaluation"]
"""Why a training runs the network without an update of its weights."""


class TrainingObserver:
    """Receives the progress of a training; this one ignores it."""

    def predicted(self, purpose: Purpose, done: int, total: int) -> None:
        """The network ran over `done` of `total` images, without an update of its weights."""

    def environment_changed(self, before: str, now: str) -> None:
        """The finished epochs ran in another environment than the next ones (`describe_environment`)."""

    def batch_ended(self, epoch: int, n_images: int, loss: float) -> None:
        """The weights were updated once: epoch (from 0), images of the batch, their mean loss."""

    def epoch_ended(self, record: EpochRecord) -> None:
        """An epoch is finished; also called for each epoch of an earlier, interrupted run."""


class TrainingLoop:
    """Updates the weights of a network, epoch by epoch.

    Args:
        network: holds the initial weights, which the distillation and the average copy.
        batches: the batches of any epoch.
        config: every setting.
        observer: receives the progress.
    """

    def __init__(
        self, network: nn.Module, batches: Batches, config: TrainingConfig, observer: TrainingObserver
    ) -> None:
        self.network, self.batches, self.config, self.observer = network, batches, config, observer
        self.optimizer = torch.optim.AdamW(
            parameter_groups(network, config), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        averaged = config.ema_decay or config.wise_ft_weight
        self.average = WeightAverage(network, config.ema_decay, config.wise_ft_weight) if averaged else None
        self.distillation = Distillation(cast(nn.Sequential, network)) if config.distillation else None
        self.joint = joint_head_of(network, "prior_head_only") if config.prior_head_only else None
        self.device = next(network.parameters()).device

    @property
    def rate(self) -> float:
        """The learning rate of the last update, that of the first parameter group."""
        return self.optimizer.param_groups[0]["lr"]

    def final_weights(self) -> AbstractContextManager[None]:
        """Give the network the final weights as of now, until the context ends."""
        return self.average.installed(self.network) if self.average else nullcontext()

    def begin(self) -> None:
        """Prepare the network for the first epoch: fit the linear probe, and record the initial weights."""
        if self.config.linear_probe_penalty is not None:
            self._fit_head(self.config.linear_probe_penalty)
        # Weights that `prior_head_only` removes do not belong to the initial weights either.
        with self._prior_only():
            if self.average:
                self.average.reset(self.network)

    def _fit_head(self, penalty: float) -> None:
        """Fit the head to the training images.

        With `prior_head_only` the high-resolution pass keeps the weights of this fit, and the head is fitted
        again without them.
        """
        batches = self.batches
        images = batches.images.images
        pooled = head_inputs(
            self.network, images, batches.data.preprocessing, self.config.batch_size,
            partial(self.observer.predicted, "linear probe"),
        )  # fmt: skip
        fit_head(self.network, pooled, batches.labels, penalty)
        if self.joint:
            self.joint.copy_to_local()
            with self._prior_only():
                fit_head(self.network, pooled, batches.labels, penalty)

    def _prior_only(self) -> AbstractContextManager[None]:
        return prior_outputs_only(self.joint) if self.joint else nullcontext()

    def run_epoch(self, epoch: int) -> tuple[float, float]:
        """Train on every image once.

        Returns:
            The mean loss, and the seconds of waiting for images.

        Raises:
            ConfigError: if the loss or a weight is not finite.
            DataError: if an image cannot be read.
        """
        n_batches, n = len(self.batches), len(self.batches.images)
        total = waited = done = 0.0
        set_mode(self.network, self.config)
        # Layers such as dropout draw from torch's global generator; the caller's state is restored.
        ahead = prefetched(self.batches.of_epoch(epoch))
        with torch.random.fork_rng(), self._prior_only(), ahead as batches:
            torch.manual_seed(self.config.seed + epoch)
            for number in range(1, n_batches + 1):
                start = time.perf_counter()
                batch, labels = next(batches)
                waited += time.perf_counter() - start
                self._set_rate(epoch + done / n)
                loss = self.step(batch, labels)
                if not math.isfinite(loss):
                    raise self._diverged(f"the loss is {loss}", epoch)
                if self.average:
                    self.average.update(self.network, epoch * n_batches + number)
                total += loss * len(batch)
                done += len(batch)
                self.observer.batch_ended(epoch, len(batch), loss)
        # The loss does not depend on the last update.
        if not all(torch.isfinite(each).all() for each in self.network.parameters()):
            raise self._diverged("weights are infinite or nan", epoch)
        return total / n, waited

    def _diverged(self, what: str, epoch: int) -> ConfigError:
        used = self.config.learning_rate
        return ConfigError(f"{what} in epoch {epoch + 1}; use a learning_rate below {used:g}")

    def _set_rate(self, epoch: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group["lr_multiplier"] * self.config.rate(epoch)

    def step(self, batch: Tensor, labels: Tensor) -> float:
        """Update the weights once.

        Args:
            batch: (n, 3, H, W) float32 images.
            labels: (n, C) float32 tensor in [0, 1].

        Returns:
            The mean binary cross-entropy before the update.
        """
        batch = batch.to(self.device, memory_format=torch.channels_last)
        labels = labels.to(self.device)
        divergence: Tensor | float = 0.0
        if self.distillation and isinstance(self.network, nn.Sequential):
            pooled = self.network[:-1](batch)
            logits = self.network[-1](pooled)
            divergence = self.distillation.loss(batch, pooled, cast(JointHead, self.network[-1]))
        else:
            logits = self.network(batch)
        loss = label_loss(logits, labels)
        # The loss is a mean over C classes; the weight of the distillation is relative to the sum.
        whole = loss + self.config.distillation / labels.shape[1] * divergence
        self.optimizer.zero_grad()
        whole.backward()
        self.optimizer.step()
        return loss.item()
