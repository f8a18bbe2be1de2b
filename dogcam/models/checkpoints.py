"""Checkpoints: weights and what is known of them, read without running anything that a file contains."""

import hashlib
import io
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from struct import unpack

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from dogcam.errors import ModelError
from dogcam.files import atomic_write

State = dict[str, Tensor]

_CARD_KEY = "card"
"""The one entry of a safetensors header that we write: with several, their order would vary."""

_FINGERPRINT = "weights_sha256"
_SHOWN = 3
"""How many keys an error names before it only counts them."""


@dataclass(frozen=True)
class Checkpoint:
    """A model's state (parameters and buffers by name, on the CPU) and what was noted beside it."""

    state: State
    meta: dict = field(default_factory=dict)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Three forms are understood: a safetensors file, whose notes stand in its header or in a JSON card beside
    it (`weights.safetensors`, `weights.json`); a file of `torch.save` that holds a state dict; and one that
    holds `{"i_epoch", "model_sdict", "optimizer_sdict"}`, as the published checkpoints do. The prefix
    `module.`, which data-parallel training leaves on every key, is removed.

    Nothing in a file is ever run. Pickles are read with `weights_only=True`, which knows tensors and plain
    containers; numpy scalars, which old optimizer states hold, are decoded by our own stand-ins.

    Args:
        path: the file; `.safetensors` is told by the name, everything else is taken for `torch.save`'s.

    Returns:
        The state and the notes: all of them from safetensors, the plain values (such as `i_epoch`) and
        `classes` from `torch.save`; the optimizer's state is left out.

    Raises:
        ModelError: where the file is missing, damaged, of another form, or needs more than tensors and plain
            containers; the message says what it asked for.
    """
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise ModelError(f"{path} is empty; delete it and fetch it again")
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    return _from_payload(_load_torch(path), path)


def load_into(model: nn.Module, checkpoint: Checkpoint, path: Path) -> None:
    """Copy a checkpoint's state into a model; the model is unchanged where they do not fit each other.

    Batch normalisation's counts of batches, which older versions of torch did not store, may be missing.

    Args:
        model: takes the state.
        checkpoint: what `load_checkpoint` returned.
        path: where it came from, for the message.

    Raises:
        ModelError: where a key is missing or too many, a tensor has another shape, or a number is not finite;
            the message names them.
    """
    expected = model.state_dict()
    counts = {name: tensor for name, tensor in expected.items() if name.endswith(".num_batches_tracked")}
    state = counts | checkpoint.state
    faults = [
        f"{name} is {tuple(state[name].shape)}, the model has {tuple(expected[name].shape)}"
        for name in expected.keys() & state.keys()
        if state[name].shape != expected[name].shape
    ]
    lists = (
        ("the file lacks", sorted(expected.keys() - state.keys())),
        ("the model has no", sorted(state.keys() - expected.keys())),
        ("", sorted(faults)),
    )
    reasons = [f"{what} {_some(names)}".strip() for what, names in lists if names]
    broken = [name for name, tensor in sorted(state.items()) if not torch.isfinite(tensor).all()]
    if broken:
        raise ModelError(
            f"{path} holds numbers that are not finite, in {_some(broken)}: its training went wrong, or it "
            "is damaged; choose another checkpoint"
        )
    if reasons:
        raise ModelError(
            f"{path} does not fit this {type(model).__name__}: {'; '.join(reasons)}. Build the model that "
            "the checkpoint was made with (architecture, number of outputs), or choose another checkpoint"
        )
    model.load_state_dict(state, strict=True)


def save_checkpoint(path: Path, state: State, meta: dict, *, card_file: bool = True) -> None:
    """Write a state and its notes; equal arguments make equal bytes.

    The notes go into the file's header, so that they cannot be parted from the weights, and for readers into
    a JSON card beside it (`weights.safetensors`, `weights.json`). Each file is there whole or not at all.

    Args:
        path: the file to write, ending in `.safetensors`.
        state: parameters and buffers by name.
        meta: anything that JSON can hold; the SHA-256 of the weights is added.
        card_file: also write the JSON card.

    Raises:
        ModelError: where the name has another ending, or a file cannot be written.
    """
    if path.suffix != ".safetensors":
        raise ModelError(f"{path} must end in .safetensors: that is how its form is told when it is read")
    card = {**meta, _FINGERPRINT: weights_sha256(state)}
    # Cloned, since safetensors refuses tensors that share memory, as tied weights and slices do.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}
    weights = save(tensors, {_CARD_KEY: json.dumps(card, sort_keys=True, allow_nan=False)})
    text = json.dumps(card, indent=2, sort_keys=True, allow_nan=False) + "\n"
    atomic_write(path, weights, durable=True)
    if card_file:
        atomic_write(path.with_suffix(".json"), text)


def export_checkpoint(path: Path, state: State, meta: dict) -> None:
    """Write a state in the form of the published checkpoints, for programs that read `["model_sdict"]`.

    The file holds tensors and plain containers only, so that `torch.load(path, weights_only=True)` reads it:
    `i_epoch` (of the last epoch, from 0), `model_sdict`, an empty `optimizer_sdict`, `classes` in the order
    of the outputs where they are known, and the notes as JSON text under `card`. It is there whole or not at
    all.

    Args:
        path: the file to write; any ending but `.safetensors`.
        state: parameters and buffers by name.
        meta: anything that JSON can hold.

    Raises:
        ModelError: where the name says that the file is of the other form.
        OutputError: where it cannot be written.
    """
    if path.suffix == ".safetensors":
        raise ModelError(f"{path} ends in .safetensors; the published form's files end in .pt or .pth.tar")
    payload = {
        "i_epoch": meta.get("i_epoch", _epochs(meta) - 1),
        "model_sdict": {name: tensor.detach().cpu().clone() for name, tensor in state.items()},
        "optimizer_sdict": {},
        "classes": list(meta.get("classes", ())),
        _CARD_KEY: json.dumps(meta, sort_keys=True, allow_nan=False),
    }
    buffer = io.BytesIO()
    torch.save(payload, buffer)
    atomic_write(path, buffer.getvalue())


def _epochs(meta: dict) -> int:
    """How many epochs a card speaks of; 1 where it speaks of none."""
    match meta.get("training"):
        case {"epochs": int(epochs)}:
            return epochs
    return 1


def weights_sha256(weights: nn.Module | State) -> str:
    """Return the SHA-256 over the names, dtypes, shapes and bytes of all tensors, ordered by name.

    Args:
        weights: a model, or its state; the device, and the memory layout of a tensor, make no difference.
    """
    state = weights.state_dict() if isinstance(weights, nn.Module) else weights
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def layers_sha256(network: nn.Module) -> str:
    """Return the SHA-256 of what a network is beside its weights: its layers, as torch prints them.

    Networks of one family may have equal weights and differ in how they pad, say, or in tensors that are
    built with them and not stored.
    """
    stored = network.state_dict().keys()
    others = {name: tensor for name, tensor in network.named_buffers() if name not in stored}
    layers = re.sub(r"\b0x[0-9a-f]+", "", str(network))
    return hashlib.sha256(f"{layers} {weights_sha256(others)}".encode()).hexdigest()


def _load_safetensors(path: Path) -> Checkpoint:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except (SafetensorError, OSError) as error:
        reason = f"{path} is not a whole safetensors file ({error}); fetch or make it again"
        raise ModelError(reason) from error
    beside = path.with_suffix(".json")
    try:
        if _CARD_KEY in header:
            meta = json.loads(header[_CARD_KEY])
        else:
            meta = json.loads(beside.read_bytes()) if beside.is_file() else dict(header)
    except (OSError, ValueError) as error:
        raise ModelError(f"the notes on {path} (its header, or {beside}) are not JSON: {error}") from error
    if not isinstance(meta, dict):
        raise ModelError(f"the notes on {path} (its header, or {beside}) are no JSON object")
    if meta.get(_FINGERPRINT) not in (None, weights_sha256(state)):
        raise ModelError(
            f"{path} does not hold the weights that its notes describe ({_FINGERPRINT} differs): it is "
            "damaged, or the card beside it belongs to another file; fetch or make it again"
        )
    return Checkpoint(_without_prefix(state), meta)


_NUMBERS = {
    "f8": "d", "f4": "f", "f2": "e", "b1": "?",
    "i8": "q", "i4": "i", "i2": "h", "i1": "b", "u8": "Q", "u4": "I", "u2": "H", "u1": "B",
}  # fmt: skip
"""numpy's codes of plain numbers and what `struct` calls them."""


class _ScalarType:
    """Stands in for `numpy.dtype` while a pickle is read, and knows plain numbers only."""

    def __init__(self, code: str, *flags: object):
        if code not in _NUMBERS:
            raise UnpicklingError(f"GLOBAL numpy.dtype({code!r})")
        self.format = "<" + _NUMBERS[code]

    def __setstate__(self, state: tuple):
        if state[1] == ">":
            self.format = ">" + self.format[1:]


def _scalar(kind: _ScalarType, data: bytes) -> float | int | bool:
    """Stand in for numpy's function that makes a scalar from its dtype and its bytes."""
    return unpack(kind.format, data)[0]


_STAND_INS = [
    (_ScalarType, "numpy.dtype"),
    (_scalar, "numpy.core.multiarray.scalar"),  # as numpy 1 calls it
    (_scalar, "numpy._core.multiarray.scalar"),  # as numpy 2 does
]


def _load_torch(path: Path) -> object:
    try:
        with torch.serialization.safe_globals(_STAND_INS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle makes its reader fail in any way there is
        asked_for = re.search(r"GLOBAL (\S+)", str(error))
        if asked_for:
            raise ModelError(
                f"{path} is refused: to read it, {asked_for[1]} would have to be called, and a checkpoint "
                "needs tensors and plain containers only. Ask its author for the bare state dict, or for a "
                "safetensors file"
            ) from error
        raise ModelError(
            f"{path} cannot be read as a checkpoint ({_detail(error)}); expected safetensors, or what "
            "torch.save makes of a state dict. If it was downloaded, delete it and fetch it again"
        ) from error


def _detail(error: Exception) -> str:
    """Return the telling line of an error of `torch.load`, without its advice to load unsafely."""
    if "TorchScript" in str(error):
        return "it is a TorchScript program, not a set of weights"
    lines = (line.strip() for line in str(error).splitlines())
    telling = [line for line in lines if line and "weights_only" not in line and "Weights only" not in line]
    return f"{type(error).__name__}: {telling[0].split('. ')[0]}" if telling else type(error).__name__


def _from_payload(payload: object, path: Path) -> Checkpoint:
    """Find the state in what a file of `torch.save` held."""
    if not isinstance(payload, dict):
        raise ModelError(f"{path} holds a {type(payload).__name__}; expected the dict of a model's state")
    if "model_sdict" not in payload:
        return Checkpoint(_checked_state(payload, path))
    return Checkpoint(_checked_state(payload["model_sdict"], path), _notes(payload, path))


def _notes(payload: dict, path: Path) -> dict:
    """Return what a file in the published form says beside its weights."""
    if _CARD_KEY in payload:
        # Our own exports carry the whole card as text, which any reader of the form may pass over.
        try:
            card = json.loads(payload[_CARD_KEY])
        except (ValueError, TypeError) as error:
            raise ModelError(
                f"the notes within {path} are not JSON: {error}; fetch or make it again"
            ) from error
        if not isinstance(card, dict):
            raise ModelError(f"the notes within {path} are no JSON object; fetch or make it again")
        return card
    plain = (str, int, float, bool)
    notes = {key: value for key, value in payload.items() if isinstance(value, plain)}
    match payload.get("classes"):
        case None | [] | ():
            return notes
        case [*names]:
            return notes | {"classes": names}
        case found:
            # Whoever says anything of the outputs does not leave them to the published order.
            return notes | {"classes": found if isinstance(found, plain) else f"a {type(found).__name__}"}


def _checked_state(state: object, path: Path) -> State:
    items = state.items() if isinstance(state, dict) else ()
    if not items or not all(isinstance(key, str) and isinstance(value, Tensor) for key, value in items):
        found = _some([repr(key) for key in state]) if isinstance(state, dict) else type(state).__name__
        raise ModelError(
            f"{path} holds no model state: found {found or 'an empty dict'}, expected tensors by name, alone "
            "or under the key 'model_sdict'"
        )
    return _without_prefix(dict(items))


def _without_prefix(state: State) -> State:
    if all(name.startswith("module.") for name in state):
        return {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return state


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
