"""Train a multi-label classifier on image labels: epochs, evaluation, and resuming after interruptions."""

import copy
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dogcam.errors import ConfigError
from dogcam.evaluate.classification import measure
from dogcam.files import atomic_write, remove_temporary_files
from dogcam.files.locks import dir_lock
from dogcam.files.states import Sources
from dogcam.models.checkpoints import layers_sha256, weights_sha256
from dogcam.models.two_scale import require_position_scores
from dogcam.train.batches import Batches
from dogcam.train.config import TrainingConfig
from dogcam.train.data import TrainingData
from dogcam.train.fine_tuning import frozen_layers, set_mode
from dogcam.train.history import HISTORY, EpochRecord, History, describe_environment
from dogcam.train.loop import TrainingLoop, TrainingObserver
from dogcam.train.state import StateFile, Tensors


class Trainer:
    """A training of a network on image labels alone.

    The loss is the binary cross-entropy of the logits, averaged over images and classes, plus the optional
    distillation; the optimizer is AdamW. The final weights are those after the last epoch, their moving
    average, or its interpolation with the initial weights. The evaluation split selects nothing.

    Args:
        network: maps (N, 3, H, W) images to (N, C) logits; holds the initial weights and is trained in place,
            on its device.
        data: images, classes and preprocessing.
        config: every setting.
        folder: where state and history are written; it is made if it is missing.
        observer: receives the progress.
    """

    def __init__(
        self,
        network: nn.Module,
        data: TrainingData,
        config: TrainingConfig,
        folder: Path,
        observer: TrainingObserver | None = None,
    ) -> None:
        self.network, self.data, self.config = network, data, config
        self.folder, self.observer = Path(folder), observer or TrainingObserver()

    def fit(self, *, resume: bool = True) -> History:
        """Train the network.

        After each epoch the training state and `history.csv` are written atomically to the folder. An
        interrupted training continues after its last finished epoch. On the CPU, with the same number of
        threads, its final weights are bitwise equal to those of an uninterrupted training.

        Args:
            resume: continue from a state in the folder; otherwise start from the beginning and replace it.

        Returns:
            The record of each epoch. The network holds the final weights and is in evaluation mode.

        Raises:
            ConfigError: if the state in the folder belongs to another training, or the loss is not finite.
            ModelError: if the state is damaged, or the network has no high-resolution pass.
            DataError: if an image cannot be read, or changed during the training.
        """
        if self.config.high_resolution:
            require_position_scores(self.network)
        # With channels stored last, convolutions are a third faster on the CPU.
        self.network.to(memory_format=torch.channels_last)
        batches = Batches(self.data, self.config)
        self._require_last_batch(batches)
        # Before the images are hashed.
        sources = Sources((*self.data.train.files, *self.data.evaluation.files))
        file = StateFile(self.folder, self._identity(), EpochRecord)
        with dir_lock(self.folder), frozen_layers(self.network, self.config.frozen_layers):
            remove_temporary_files(self.folder)
            # The distillation and the average copy the initial weights before a state is restored.
            loop = TrainingLoop(self.network, batches, self.config, self.observer)
            tensors = Tensors(self.network, loop.optimizer, loop.average)
            records = self._start(loop, file.load(tensors) if resume else [])
            for epoch in range(len(records), self.config.epochs):
                records.append(self._run_epoch(loop, epoch))
                sources.require_unchanged()
                file.save(tensors, records)
                self._write_history(records)
                self.observer.epoch_ended(records[-1])
        if loop.average:
            self.network.load_state_dict(loop.average.final())
        self.network.eval()
        return History(tuple(records))

    def _start(self, loop: TrainingLoop, records: list[EpochRecord]) -> list[EpochRecord]:
        """Prepare the first epoch, or report those that are finished."""
        if not records:
            loop.begin()
            return []
        # The process may have ended between writing the state and writing the history.
        self._write_history(records)
        environment = describe_environment(loop.device)
        if records[-1].environment != environment:
            self.observer.environment_changed(records[-1].environment, environment)
        for record in records:
            self.observer.epoch_ended(record)
        return list(records)

    def _run_epoch(self, loop: TrainingLoop, epoch: int) -> EpochRecord:
        data, config = self.data, self.config
        start = time.perf_counter()
        loss, waited = loop.run_epoch(epoch)
        seconds = time.perf_counter() - start
        with loop.final_weights():
            ap = measure(
                self.network, data.classes, data.evaluation.images, data.preprocessing, config.batch_size,
                config.high_resolution, partial(self.observer.predicted, "evaluation"),
            )  # fmt: skip
        absent = tuple(name for name in data.classes if name not in ap)
        environment = describe_environment(loop.device)
        return EpochRecord(
            epoch + 1, loss, loop.rate, len(data.train), seconds, waited, ap, absent, environment
        )

    def _write_history(self, records: list[EpochRecord]) -> None:
        atomic_write(self.folder / HISTORY, History(tuple(records)).to_csv())

    def _identity(self) -> dict[str, Any]:
        """Return everything that determines the final weights."""
        return {
            **self.config.describe(),
            **self.data.describe(),
            "network": f"{type(self.network).__name__} {layers_sha256(self.network)[:16]}",
            "initial weights": weights_sha256(self.network),
        }

    def _require_last_batch(self, batches: Batches) -> None:
        """Refuse a last batch of one image if the network needs several, before the first epoch.

        Batch normalisation has no variance if a channel has a single value.
        """
        n, size = len(batches.images), self.config.batch_size
        if n % size != 1 and size != 1:
            return
        tried = copy.deepcopy(self.network)
        set_mode(tried, self.config)
        try:
            with torch.no_grad(), torch.random.fork_rng():
                tried(torch.zeros(1, 3, *batches.size, device=next(tried.parameters()).device))
        except ValueError as error:
            raise ConfigError(
                f"the last batch of an epoch is one image, on which this {type(tried).__name__} cannot be "
                f"trained ({error}); choose another batch_size than {size} for {n} images, or larger images"
            ) from error
