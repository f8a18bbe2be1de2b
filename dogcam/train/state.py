"""The training state on disk: weights, optimizer, average and history in one sealed file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from dogcam.errors import ConfigError, ModelError
from dogcam.models.checkpoints import Checkpoint, load_checkpoint, load_into, save_checkpoint
from dogcam.train.ema import WeightAverage

STATE = "training_state.safetensors"

_NETWORK, _OPTIMIZER, _AVERAGE = "network.", "optimizer.", "average."


class EpochResult(Protocol):
    """The result of an epoch: a dataclass of plain values."""

    @property
    def epoch(self) -> int:
        """The number of finished epochs, this one included."""


Record = TypeVar("Record", bound=EpochResult)


@dataclass(frozen=True)
class Tensors:
    """What a training changes: a network, its optimizer, and the average of its weights if there is one."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None = None

    def collect(self) -> dict[str, Tensor]:
        """Return all tensors by name.

        The hyperparameters of the optimizer are omitted: they follow from the settings of the training.
        """
        tensors = {_NETWORK + name: tensor for name, tensor in self.network.state_dict().items()}
        for number, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"{_OPTIMIZER}{number}.{name}": tensor for name, tensor in moments.items()}
        if self.average:
            tensors |= {_AVERAGE + name: tensor for name, tensor in self.average.stored().items()}
        return tensors

    def restore(self, tensors: dict[str, Tensor], path: Path) -> None:
        """Continue from tensors that `collect` returned; nothing is changed if they do not fit.

        Raises:
            ModelError: if a tensor is missing or has another shape.
        """
        moments = self._moments(_under(_OPTIMIZER, tensors), path)
        averaged = _under(_AVERAGE, tensors)
        expected = self.average.stored() if self.average else {}
        if {name: each.shape for name, each in averaged.items()} != {
            name: each.shape for name, each in expected.items()
        }:
            raise _damaged(path, "the tensors of the average do not fit the network")
        load_into(self.network, Checkpoint(_under(_NETWORK, tensors)), path)
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        if self.average:
            self.average.restore(averaged)

    def _moments(self, tensors: dict[str, Tensor], path: Path) -> dict[int, dict[str, Tensor]]:
        """Group the tensors of the optimizer by parameter, each in the memory layout of its parameter.

        The layout determines the order of summation and therefore, possibly, the last bit.
        """
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            number, _, what = name.partition(".")
            if not number.isdecimal() or int(number) >= len(parameters):
                raise _damaged(path, f"the optimizer has no parameter {number!r}")
            like = parameters[int(number)]
            if tensor.shape not in (like.shape, torch.Size()):
                raise _damaged(path, f"{_OPTIMIZER}{name} has the shape {tuple(tensor.shape)}")
            fits = like.shape == tensor.shape
            laid_out = torch.empty_like(like).copy_(tensor).detach() if fits else tensor
            moments.setdefault(int(number), {})[what] = laid_out
        return moments


@dataclass(frozen=True)
class StateFile(Generic[Record]):
    """The state of one training in a folder.

    The file is safetensors, not a pickle: reading it runs no code. One checksum seals the tensors, the
    identity of the training and the records of its epochs.

    Attributes:
        folder: where the file is, or will be.
        identity: everything that determines the final weights, as plain values for JSON.
        record: the type of the records.
    """

    folder: Path
    identity: dict[str, Any]
    record: type[Record]

    @property
    def _adapter(self) -> TypeAdapter[list[Record]]:
        return TypeAdapter(list[self.record])  # type: ignore[name-defined]  # a type in a field

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / STATE

    def save(self, tensors: Tensors, records: Sequence[Record]) -> None:
        """Replace the file after an epoch, atomically.

        Raises:
            OutputError: if it cannot be written; the previous file is kept.
        """
        state = tensors.collect()
        notes = {"identity": self.identity, "records": self._adapter.dump_python(list(records), mode="json")}
        save_checkpoint(self.path, state, notes, card_file=False)

    def load(self, tensors: Tensors) -> list[Record]:
        """Restore the tensors of the file.

        Args:
            tensors: are changed; unchanged if there is no file or it does not fit.

        Returns:
            The records of the finished epochs; empty if there is no file.

        Raises:
            ConfigError: if the state belongs to another training; the message states the first difference.
            ModelError: if the file is damaged.
        """
        found = self.read()
        if found is None:
            return []
        checkpoint, records = found
        tensors.restore(checkpoint.state, self.path)
        return records

    def read(self) -> tuple[Checkpoint, list[Record]] | None:
        """Return the tensors of the file and the records of its epochs; None if there is no file.

        Raises:
            ConfigError, ModelError: as `load`, except for tensors that do not fit.
        """
        if not self.path.exists():
            return None
        try:
            checkpoint = load_checkpoint(self.path)
        except ModelError as error:
            raise _damaged(self.path, str(error)) from error
        if not checkpoint.sealed:
            raise _damaged(self.path, "it has no checksum")
        self._require_same(checkpoint.meta.get("identity"))
        return checkpoint, self._records(checkpoint.meta.get("records"))

    def _records(self, found: object) -> list[Record]:
        try:
            records = self._adapter.validate_json(json.dumps(found), strict=True)
        except ValidationError as error:
            raise _damaged(
                self.path, f"its records of epochs are invalid: {error.errors()[0]['msg']}"
            ) from error
        if not records or [each.epoch for each in records] != list(range(1, len(records) + 1)):
            raise _damaged(self.path, "its records are not those of the epochs 1, 2, ...")
        return records

    def _require_same(self, found: object) -> None:
        if not isinstance(found, dict):
            raise _damaged(self.path, "it does not state its training")
        wanted = self.identity
        different = [name for name in wanted if found.get(name) != wanted[name]]
        if different:
            name = different[0]
            more = f"; also different: {', '.join(different[1:])}" if different[1:] else ""
            raise ConfigError(
                f"{self.path} is the state of another training: its {name} is {found.get(name)}, expected "
                f"{wanted[name]}{more}. Choose another folder, or start from the beginning with --no-resume"
            )


def _damaged(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"the training state {path} is damaged ({reason}); start from the beginning with --no-resume"
    )


def _under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
