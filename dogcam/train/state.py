"""The state of an unfinished training on disk: weights, optimizer and history in one file."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from dogcam.errors import ConfigError, ModelError
from dogcam.models.checkpoints import Checkpoint, load_checkpoint, load_into, save_checkpoint
from dogcam.train.ema import WeightAverage

STATE = "training_state.safetensors"

_NETWORK, _OPTIMIZER, _AVERAGE = "network.", "optimizer.", "average."


@dataclass(frozen=True)
class TrainingState:
    """What is known of a training beside its tensors.

    Attributes:
        identity: everything that decides the result, as plain values; equal identities, equal trainings.
        records: what each finished epoch did, as plain values.
    """

    identity: dict
    records: list[dict]


def save_state(
    folder: Path,
    state: TrainingState,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None = None,
) -> None:
    """Write the state after an epoch, in place of the one before it.

    It is a safetensors file with a checksum, no pickle: reading it runs nothing, and damage is noticed. The
    optimizer's settings are not in it, since they follow from the training's.

    Args:
        folder: made where it is missing.
        state: what is known beside the tensors.
        network: its weights and buffers are stored.
        optimizer: its moments and counters are stored.
        average: of the weights, where the training keeps one.
    """
    tensors = {_NETWORK + name: tensor for name, tensor in network.state_dict().items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"{_OPTIMIZER}{number}.{name}": tensor for name, tensor in moments.items()}
    if average:
        tensors |= {_AVERAGE + name: tensor for name, tensor in average.stored().items()}
    save_checkpoint(folder / STATE, tensors, {"identity": state.identity, "records": state.records})


def load_state(
    folder: Path,
    identity: dict,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None = None,
) -> TrainingState | None:
    """Put a network and its optimizer into the state that a folder holds.

    Args:
        folder: where `save_state` wrote.
        identity: that of the training which wants to go on.
        network, optimizer, average: are changed; untouched where there is no state or it does not fit.

    Returns:
        What is known beside the tensors; None where the folder holds no state.

    Raises:
        ConfigError: where the state is that of another training; the message says what differs.
        ModelError: where the file is damaged.
    """
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        checkpoint = load_checkpoint(path)
    except ModelError as error:
        raise ModelError(f"{error}. It is the state of a training: --no-resume begins that anew") from error
    _require_same(checkpoint.meta.get("identity", {}), identity, path)
    weights = _under(_NETWORK, checkpoint.state)
    load_into(network, Checkpoint(weights), path)
    moments = _moments(_under(_OPTIMIZER, checkpoint.state), optimizer)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    if average:
        average.restore(_under(_AVERAGE, checkpoint.state))
    return TrainingState(identity, checkpoint.meta["records"])


def _moments(tensors: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> dict[int, dict[str, Tensor]]:
    """Sort the optimizer's tensors by parameter, each laid out in memory like its parameter.

    The layout decides which loop adds the numbers up, and so, perhaps, the last bit.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, _, what = name.partition(".")
        like = parameters[int(number)]
        laid_out = torch.empty_like(like).copy_(tensor).detach() if like.shape == tensor.shape else tensor
        moments.setdefault(int(number), {})[what] = laid_out
    return moments


def _under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _require_same(found: dict, wanted: dict, path: Path) -> None:
    different = [name for name in wanted if found.get(name) != wanted[name]]
    if different:
        name = different[0]
        more = f" (and {', '.join(different[1:])})" if different[1:] else ""
        raise ConfigError(
            f"{path} is the state of another training: its {name} is {found.get(name)}, now it is "
            f"{wanted[name]}{more}; choose another folder, or --no-resume to begin anew"
        )
