"""Checkpoints: weights and what is known of them, read without running anything that a file contains."""

import hashlib
import io
import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from dogcam.errors import ModelError
from dogcam.files import atomic_write, open_plain, parse_json, read_json
from dogcam.models.architecture import AUXILIARY
from dogcam.models.payload import CARD_KEY, PUBLISHED, State, some, state_in, without_wrapper_prefixes
from dogcam.models.torch_files import load_torch

_FINGERPRINT = "weights_sha256"
_MOST_BYTES = 16 * 2**30
"""Larger files are refused before they are read: no image classifier has weights of that size."""

_AUXILIARY = tuple(f"{name}." for name in AUXILIARY)


@dataclass(frozen=True)
class Checkpoint:
    """A model's state (parameters and buffers by name, on the CPU) and what was noted beside it."""

    state: State
    meta: dict = field(default_factory=dict)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    A file that ends in `.safetensors` has its notes in its header or in a JSON card next to it
    (`weights.safetensors`, `weights.json`). Every other file is taken for one of `torch.save`: a state dict,
    alone or under one of the keys in `dogcam.models.payload`, as the published checkpoints and the usual
    training programs write it.

    Nothing in a file is ever run: pickles are read with `weights_only=True`.

    Returns:
        The state and the notes; the state of an optimizer is left out.

    Raises:
        ModelError: if the file is missing, no plain file, damaged, of another form, or needs more than
            tensors and plain containers; the message names the cause.
    """
    _require_file(path)
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    return Checkpoint(*state_in(load_torch(path), path))


def _require_file(path: Path) -> None:
    with open_plain(path, ModelError) as file:
        size = file.seek(0, io.SEEK_END)
    if not 0 < size <= _MOST_BYTES:
        raise ModelError(
            f"{path} has {size:,} bytes; expected 1 to {_MOST_BYTES:,}: delete it and download it again, or "
            "choose another checkpoint"
        )


def fitted_to(model: nn.Module, checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """Return a checkpoint whose names are the model's: without a prefix that its training program added.

    If the names of all parameters are found below one prefix (`model.`, `net.backbone.`, ...), that part of
    the file is taken, and what lies outside of it (a loss, metrics) is left out. So are auxiliary heads
    that the model lacks.

    Raises:
        ModelError: if several prefixes fit.
    """
    expected = {name for name in model.state_dict() if not name.endswith(".num_batches_tracked")}
    state = checkpoint.state
    if expected and not expected <= state.keys():
        last = min(expected, key=lambda name: (name.count("."), name))
        prefixes = [name.removesuffix(last) for name in state if name.endswith("." + last)]
        fitting = [each for each in prefixes if all(each + name in state for name in expected)]
        if len(fitting) > 1:
            raise ModelError(
                f"{path} holds this network more than once, as {some(fitting)}; save the state of one of them"
            )
        for prefix in fitting:
            state = {k.removeprefix(prefix): value for k, value in state.items() if k.startswith(prefix)}
    known = model.state_dict().keys()
    kept = {k: value for k, value in state.items() if k in known or not k.startswith(_AUXILIARY)}
    return replace(checkpoint, state=kept)


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
    checkpoint = fitted_to(model, checkpoint, path)
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
    reasons = [f"{what} {some(names)}".strip() for what, names in lists if names]
    broken = [name for name, tensor in sorted(state.items()) if not torch.isfinite(tensor).all()]
    if broken:
        raise ModelError(
            f"{path} holds numbers that are not finite, in {some(broken)}: its training went wrong, or it "
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
    weights = save(tensors, {CARD_KEY: json.dumps(card, sort_keys=True, allow_nan=False)})
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
        PUBLISHED: {name: tensor.detach().cpu().clone() for name, tensor in state.items()},
        "optimizer_sdict": {},
        "classes": list(meta.get("classes", ())),
        CARD_KEY: json.dumps(meta, sort_keys=True, allow_nan=False),
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
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
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
    if CARD_KEY in header:
        meta = parse_json(header[CARD_KEY], f"the card in the header of {path}", ModelError)
    else:
        meta = read_json(beside, ModelError) if beside.exists() else dict(header)
    if not isinstance(meta, dict):
        raise ModelError(f"the notes on {path} (its header, or {beside}) are no JSON object")
    if meta.get(_FINGERPRINT) not in (None, weights_sha256(state)):
        raise ModelError(
            f"{path} does not hold the weights that its notes describe ({_FINGERPRINT} differs): it is "
            "damaged, or the card beside it belongs to another file; fetch or make it again"
        )
    return Checkpoint(without_wrapper_prefixes(state), meta)
