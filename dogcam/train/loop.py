"""Train a multi-label classifier on image labels, measure it after each epoch, resume where it stopped."""

import copy
import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dogcam.errors import ConfigError
from dogcam.evaluate.classification import measure
from dogcam.files import atomic_write, dir_lock, remove_temporary_files
from dogcam.models.checkpoints import layers_sha256, weights_sha256
from dogcam.models.preprocessing import Preprocessing
from dogcam.models.two_scale import require_position_scores
from dogcam.structures.images import Split
from dogcam.train.batches import Batches, made_ahead
from dogcam.train.config import TrainingConfig
from dogcam.train.ema import WeightAverage
from dogcam.train.fine_tuning import (
    Teacher,
    frozen_layers,
    joint_head_of,
    known_outputs_alone,
    parameter_groups,
    set_mode,
)
from dogcam.train.history import EpochRecord, History, ran_on
from dogcam.train.linear_probe import fit_head, head_inputs
from dogcam.train.state import TrainingState, load_state, save_state

HISTORY = "history.csv"


class Observer:
    """Is told how far a training is; this one keeps it to itself."""

    def head_is_fitted(self, n_images: int) -> None:
        """Hear that the head is fitted, on so many images, before the first epoch."""

    def went_on_elsewhere(self, before: str, now: str) -> None:
        """Hear that the epochs so far ran on something else (`train.history.ran_on`) than those to come."""

    def batch_ended(self, epoch: int, n_images: int, loss: float) -> None:
        """Hear of one update: epoch (from 0), images of the batch, their mean loss."""

    def epoch_ended(self, record: EpochRecord) -> None:
        """Hear of a finished epoch, also of each that an earlier, interrupted training did."""


def train(
    network: nn.Module,
    classes: Sequence[str],
    train_split: Split,
    eval_split: Split,
    preprocessing: Preprocessing,
    config: TrainingConfig,
    folder: Path,
    *,
    resume: bool = True,
    observer: Observer | None = None,
) -> History:
    """Train a network to say which classes an image shows, from image labels alone.

    The loss is the binary cross-entropy of the logits, averaged over images and classes, and, where it is
    asked for, what keeps an older head's answers; the optimizer is AdamW. The result is the weights after the
    last epoch, or their moving average, or what lies between that and the beginning: the evaluation split
    chooses nothing. After each epoch the state of the training is written to `folder`, whole or not at all,
    and so is `history.csv`. A training that was interrupted goes on after its last whole epoch; on the CPU,
    with the same number of threads, it ends with the same weights, bit for bit, as one that was not.

    Args:
        network: maps (N, 3, H, W) images to (N, C) logits; holds the starting weights, trained in place on
            the device where it is and left in evaluation mode.
        classes: C names in the order of the logits.
        train_split: images to learn from.
        eval_split: images to measure average precision on after each epoch.
        preprocessing: what the network is given when it is used; training images are normalised likewise.
        config: every setting.
        folder: where state and history are written; made where it is missing.
        resume: go on from a state in `folder`; otherwise begin anew and replace it.
        observer: is told how far it is.

    Raises:
        ConfigError: where a class cannot be learned, the splits share images, the state in the folder is
            that of another training, or the loss is no longer a finite number.
        ModelError: where a closer look is wanted of a network that cannot take one.
        DataError: where an image cannot be read.
    """
    require_learnable(classes, train_split, eval_split)
    if config.high_resolution:
        require_position_scores(network)
    # With the channels stored last, convolutions are a third faster on the CPU.
    network.to(memory_format=torch.channels_last)
    batches = Batches(train_split.images, classes, preprocessing, config)
    _require_last_batch(network, batches, config)
    identity = _identity(network, classes, train_split, eval_split, preprocessing, config)
    folder, observer = Path(folder), observer or Observer()
    with dir_lock(folder), frozen_layers(network, config.frozen):
        remove_temporary_files(folder)
        # The teacher and the average begin as the starting weights, before a state is put back.
        loop = _Loop(network, batches, config, observer)
        kept = (network, loop.optimizer, loop.average)
        state = load_state(folder, identity, *kept) if resume else None
        records = [_record(fields) for fields in state.records] if state else []
        here = ran_on(loop.device)
        if state:
            # The process may have died between the state and this.
            _write_history(folder, records)
            if records[-1].ran_on != here:
                observer.went_on_elsewhere(records[-1].ran_on, here)
        else:
            loop.begin()
        for record in records:
            observer.epoch_ended(record)
        for epoch in range(len(records), config.epochs):
            start = time.perf_counter()
            loss, waited = loop.run_epoch(epoch)
            seconds = time.perf_counter() - start
            with loop.result():
                ap = measure(
                    network,
                    classes,
                    eval_split.images,
                    preprocessing,
                    config.batch_size,
                    config.high_resolution,
                )
            absent = tuple(name for name in classes if name not in ap)
            records.append(
                EpochRecord(epoch + 1, loss, loop.rate, len(train_split), seconds, waited, ap, absent, here)
            )
            save_state(folder, TrainingState(identity, [asdict(each) for each in records]), *kept)
            _write_history(folder, records)
            observer.epoch_ended(records[-1])
    if loop.average:
        network.load_state_dict(loop.average.result())
    network.eval()
    return History(tuple(records))


class _Loop:
    """The updates of a network, epoch by epoch."""

    def __init__(
        self, network: nn.Module, batches: Batches, config: TrainingConfig, observer: Observer
    ) -> None:
        self.network, self.batches, self.config, self.observer = network, batches, config, observer
        self.optimizer = torch.optim.AdamW(
            parameter_groups(network, config), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        kept = config.averaging or config.start_share
        self.average = WeightAverage(network, config.averaging, config.start_share) if kept else None
        self.teacher = Teacher(network) if config.distillation else None
        self.joint = joint_head_of(network, "known_alone") if config.known_alone else None
        self.device = next(network.parameters()).device

    @property
    def rate(self) -> float:
        """The learning rate of the last update."""
        return self.optimizer.param_groups[0]["lr"]

    def result(self) -> AbstractContextManager[None]:
        """Give the network the weights that would come out now, for as long as the context lasts."""
        return self.average.installed(self.network) if self.average else nullcontext()

    def begin(self) -> None:
        """Make the network ready for the first epoch.

        Where it is to be fitted, the head is; and that is the beginning of which what comes out has a share.
        """
        if self.config.probe is not None:
            self._fit(self.config.probe)
        # What the body will not hear is no part of the beginning either.
        with self._alone():
            if self.average:
                self.average.begin(self.network)

    def _fit(self, penalty: float) -> None:
        """Fit the head to the training images.

        Where the average of a picture is to hear an older head alone, single places keep what was fitted
        beside that, for a closer look, and the head is fitted once more without it.
        """
        batches = self.batches
        images = batches.photographs.images
        self.observer.head_is_fitted(len(images))
        pooled = head_inputs(self.network, images, batches.preprocessing, self.config.batch_size)
        fit_head(self.network, pooled, batches.labels, penalty)
        if self.joint:
            self.joint.keep_near()
            with self._alone():
                fit_head(self.network, pooled, batches.labels, penalty)

    def _alone(self) -> AbstractContextManager[None]:
        return known_outputs_alone(self.joint) if self.joint else nullcontext()

    def run_epoch(self, epoch: int) -> tuple[float, float]:
        """Show every training image once; return the mean loss, and the seconds of waiting for pictures."""
        n_batches, n = len(self.batches), len(self.batches.photographs)
        total = waited = done = 0.0
        set_mode(self.network, self.config)
        # Layers such as dropout draw from torch's own generator, which is the caller's before and after.
        ahead = made_ahead(self.batches.of_epoch(epoch))
        with torch.random.fork_rng(), self._alone(), ahead as batches:
            torch.manual_seed(self.config.seed + epoch)
            for number in range(1, n_batches + 1):
                start = time.perf_counter()
                batch, labels = next(batches)
                waited += time.perf_counter() - start
                self._set_rate(epoch + done / n)
                loss = self._step(batch, labels)
                if not math.isfinite(loss):
                    raise self._diverged(f"the loss became {loss}", epoch)
                if self.average:
                    self.average.update(self.network, epoch * n_batches + number)
                total += loss * len(batch)
                done += len(batch)
                self.observer.batch_ended(epoch, len(batch), loss)
        # No loss tells of the last update.
        if not all(torch.isfinite(each).all() for each in self.network.parameters()):
            raise self._diverged("weights became infinite or nan", epoch)
        return total / n, waited

    def _diverged(self, what: str, epoch: int) -> ConfigError:
        tried = self.config.learning_rate
        return ConfigError(f"{what} in epoch {epoch + 1}; try a learning_rate lower than {tried:g}")

    def _set_rate(self, epoch: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group["factor"] * self.config.rate(epoch)

    def _step(self, batch: Tensor, labels: Tensor) -> float:
        """Update the weights once; return the binary cross-entropy before the update."""
        batch = batch.to(self.device, memory_format=torch.channels_last)
        labels = labels.to(self.device)
        half = self.config.precision == "bfloat16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half):
            if self.teacher:
                pooled = self.network[:-1](batch)
                logits = self.network[-1](pooled)
                forgotten = self.teacher.loss(batch, pooled, self.network[-1])
            else:
                logits, forgotten = self.network(batch), 0.0
        loss = F.binary_cross_entropy_with_logits(logits.float(), labels)
        # The mean over the classes is the sum over them divided by their number; so is what stands beside it.
        whole = loss + self.config.distillation / labels.shape[1] * forgotten
        self.optimizer.zero_grad()
        whole.backward()
        self.optimizer.step()
        return loss.item()


def require_learnable(classes: Sequence[str], train_split: Split, eval_split: Split) -> None:
    """Refuse classes that cannot be learned from a split, and splits that share images.

    Raises:
        ConfigError: then.
    """
    if not classes or len(set(classes)) != len(classes):
        raise ConfigError(f"the classes are {list(classes)}; expected one or more, each named once")
    shown = train_split.class_names()
    unseen = [name for name in classes if name not in shown]
    if unseen:
        raise ConfigError(
            f"no image of {train_split.name!r} shows {', '.join(unseen)}; leave the class out, or train on "
            f"more images. These show {', '.join(shown) or 'nothing'}"
        )
    shared = {image.path for image in train_split.images} & {image.path for image in eval_split.images}
    if shared:
        raise ConfigError(
            f"the splits {train_split.name!r} and {eval_split.name!r} share {len(shared)} images "
            f"({min(shared).stem}, ...); a classifier must not be measured on what it was trained on"
        )


def _require_last_batch(network: nn.Module, batches: Batches, config: TrainingConfig) -> None:
    """Refuse a last batch of one image where the network needs several: seen now, not after an epoch.

    Batch normalisation has no variance where a channel is one number.
    """
    if len(batches.photographs) % config.batch_size != 1 and config.batch_size != 1:
        return
    tried = copy.deepcopy(network)
    set_mode(tried, config)
    try:
        with torch.no_grad(), torch.random.fork_rng():
            tried(torch.zeros(1, 3, *batches.size, device=next(tried.parameters()).device))
    except ValueError as error:
        raise ConfigError(
            f"the last batch of an epoch has one image, of which this {type(network).__name__} cannot learn "
            f"({error}); choose another batch_size than {config.batch_size} for {len(batches.photographs)} "
            "images, or larger images"
        ) from error


def _write_history(folder: Path, records: Sequence[EpochRecord]) -> None:
    atomic_write(folder / HISTORY, History(tuple(records)).to_csv())


def _identity(
    network: nn.Module,
    classes: Sequence[str],
    train_split: Split,
    eval_split: Split,
    preprocessing: Preprocessing,
    config: TrainingConfig,
) -> dict:
    """Return everything that decides what comes out, to recognise the state of the same training."""
    return {
        **config.describe(),
        "network": f"{type(network).__name__} {layers_sha256(network)[:16]}",
        "classes": list(classes),
        "training images": train_split.manifest,
        "evaluation images": eval_split.manifest,
        "preprocessing": {name: list(value) for name, value in asdict(preprocessing).items()},
        "starting weights": weights_sha256(network),
    }


def _record(fields: dict) -> EpochRecord:
    return EpochRecord(**{**fields, "absent": tuple(fields["absent"])})
