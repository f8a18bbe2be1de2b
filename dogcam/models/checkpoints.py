"""Checkpoints: weights with their model card, read without running code that a file contains."""

import hashlib
import io
import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import nn

from dogcam.errors import ModelError
from dogcam.files import atomic_write, open_plain, parse_json, read_bytes, read_json, sha256_of_values
from dogcam.models.architecture import AUXILIARY
from dogcam.models.payload import CARD_KEY, PUBLISHED, State, some, state_in, without_wrapper_prefixes
from dogcam.models.torch_files import load_torch

_FINGERPRINT = "weights_sha256"
_SEAL = "seal"
"""The entry of a card in a header that is the checksum of all others, that of the weights included."""

_MOST_BYTES = 16 * 2**30
"""Maximum size of a checkpoint, larger than the weights of any image classifier."""

_DTYPES = frozenset({
    torch.float64, torch.float32, torch.float16, torch.bfloat16,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
})  # fmt: skip
"""Types of the tensors that are read: those for which torch can tell whether a value is finite."""

_AUXILIARY = tuple(f"{name}." for name in AUXILIARY)


@dataclass(frozen=True)
class Checkpoint:
    """Weights and their card.

    Attributes:
        state: parameters and buffers by name, on the CPU.
        meta: the entries of the model card, as plain values for JSON; empty if there is no card.
        sealed: the file has a checksum of card and weights, and both fit it.
    """

    state: State
    meta: dict = field(default_factory=dict)
    sealed: bool = False


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    The card of a `.safetensors` file is in its header or in a JSON file next to it (`weights.safetensors`,
    `weights.json`). Any other file is read as a file of `torch.save`: a state dict, alone or under one of the
    keys in `dogcam.models.payload`, as in the published checkpoints.

    No code in a file is run: pickles are read with `weights_only=True`.

    Args:
        path: the file.

    Returns:
        The weights and their card, without the state of an optimizer.

    Raises:
        ModelError: if the file is missing, not a regular file, damaged, in another format, or contains other
            objects than tensors and plain containers; the message states the cause.
    """
    _require_file(path)
    if path.suffix == ".safetensors":
        loaded = _load_safetensors(path)
    else:
        loaded = Checkpoint(*state_in(load_torch(path), path))
    for name, tensor in loaded.state.items():
        _require_stored(tensor, name, path)
    return loaded


def _require_stored(tensor: torch.Tensor, name: str, path: Path) -> None:
    """Refuse a tensor whose values are not all in the file, or of a type without finite values.

    A file of a few bytes can state a tensor of any size that repeats one value, or that has none.
    """
    usual = tensor.layout == torch.strided and tensor.device.type == "cpu" and tensor.dtype in _DTYPES
    if not usual or tensor.numel() * tensor.itemsize > tensor.untyped_storage().nbytes():
        raise ModelError(
            f"{path}: the tensor {name[:200]} ({tensor.dtype}, {tensor.layout}, {tuple(tensor.shape)}) is "
            "not stored value by value; expected dense numbers: save tensor.to_dense().float().contiguous()"
        )


def _require_file(path: Path) -> None:
    with open_plain(path, ModelError) as file:
        size = file.seek(0, io.SEEK_END)
    if not 0 < size <= _MOST_BYTES:
        raise ModelError(
            f"{path} has {size:,} bytes; expected 1 to {_MOST_BYTES:,}: delete it and download it again, or "
            "choose another checkpoint"
        )


def fitted_to(model: nn.Module, checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """Return a checkpoint with the tensor names of the model, without a prefix of the training program.

    If all parameters have one common prefix in the file (`model.`, `net.backbone.`, ...), tensors without
    this prefix (of a loss or metrics) are removed, and auxiliary heads that the model lacks as well.

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
                f"{path} contains this network several times, as {some(fitting)}; save one of them"
            )
        for prefix in fitting:
            state = {k.removeprefix(prefix): value for k, value in state.items() if k.startswith(prefix)}
    known = model.state_dict().keys()
    kept = {k: value for k, value in state.items() if k in known or not k.startswith(_AUXILIARY)}
    return replace(checkpoint, state=kept)


def load_into(model: nn.Module, checkpoint: Checkpoint, path: Path) -> None:
    """Copy the weights of a checkpoint into a model; the model is unchanged if they do not fit.

    The batch counts of batch normalisation may be missing: older versions of torch did not store them.

    Args:
        model: receives the weights.
        checkpoint: from `load_checkpoint`.
        path: file of the checkpoint, for the message.

    Raises:
        ModelError: if tensors are missing or unknown, have another shape, or contain values that are not
            finite; the message names them.
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
    if reasons:
        raise ModelError(
            f"{path} does not fit this {type(model).__name__}: {'; '.join(reasons)}. Use the architecture "
            "and the number of outputs of the checkpoint, or choose another checkpoint"
        )
    broken = [name for name, tensor in sorted(state.items()) if not torch.isfinite(tensor).all()]
    if broken:
        raise ModelError(
            f"{path} contains values that are not finite, in {some(broken)}: the training diverged, or the "
            "file is damaged; choose another checkpoint"
        )
    model.load_state_dict(state, strict=True)


def save_checkpoint(path: Path, state: State, meta: dict, *, card_file: bool = True) -> None:
    """Write weights and their card; equal arguments give equal bytes.

    The card is written to the header of the file, sealed by a checksum, and, to be read by people, to a JSON
    file next to it (`weights.safetensors`, `weights.json`). Both files are written atomically.

    Args:
        path: the file to write, with the suffix `.safetensors`.
        state: parameters and buffers by name.
        meta: the card, as plain values for JSON; the SHA-256 of the weights is added.
        card_file: also write the JSON file.

    Raises:
        ModelError: if the name has another suffix.
        OutputError: if a file cannot be written.
    """
    if path.suffix != ".safetensors":
        raise ModelError(f"{path} has the suffix {path.suffix!r}; expected .safetensors")
    card = {**meta, _FINGERPRINT: weights_sha256(state)}
    # Cloned: safetensors refuses tensors that share memory, such as tied weights and slices.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}
    text = json.dumps(card, indent=2, sort_keys=True, allow_nan=False) + "\n"
    # Sealed as it is read: JSON turns tuples into lists, and numbers that are keys into text.
    sealed = {**card, _SEAL: sha256_of_values(json.loads(text))}
    weights = save(tensors, {CARD_KEY: json.dumps(sealed, sort_keys=True)})
    atomic_write(path, weights, durable=True)
    if card_file:
        atomic_write(path.with_suffix(".json"), text)


def export_checkpoint(path: Path, state: State, meta: dict) -> None:
    """Write weights in the published format, for programs that read `["model_sdict"]`.

    The file contains only tensors and plain containers, so `torch.load(path, weights_only=True)` reads it:
    `i_epoch` (of the last epoch, from 0), `model_sdict`, an empty `optimizer_sdict`, `classes` in the order
    of the outputs (empty if unknown), and the card as JSON text under `card`. It is written atomically.

    Args:
        path: the file to write; its suffix must not be `.safetensors`.
        state: parameters and buffers by name.
        meta: the card, as plain values for JSON.

    Raises:
        ModelError: if the suffix is `.safetensors`.
        OutputError: if the file cannot be written.
    """
    if path.suffix == ".safetensors":
        raise ModelError(f"{path} ends in .safetensors; files in the published format end in .pt or .pth.tar")
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
    """Return the number of epochs that a card states; 1 if it states none."""
    match meta.get("training"):
        case {"epochs": int(epochs)}:
            return epochs
    return 1


def weights_sha256(weights: nn.Module | State) -> str:
    """Return the SHA-256 over the names, dtypes, shapes and bytes of all tensors, ordered by name.

    Args:
        weights: a model, or its state; the device and the memory layout of the tensors do not matter.
    """
    state = weights.state_dict() if isinstance(weights, nn.Module) else weights
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def layers_sha256(network: nn.Module) -> str:
    """Return the SHA-256 of the structure of a network: its layers, as torch prints them.

    Networks of one family can have equal weights and differ in padding, or in buffers that are not stored.
    """
    stored = network.state_dict().keys()
    others = {name: tensor for name, tensor in network.named_buffers() if name not in stored}
    layers = re.sub(r"\b0x[0-9a-f]+", "", str(network))
    return hashlib.sha256(f"{layers} {weights_sha256(others)}".encode()).hexdigest()


def _tensors_of(path: Path) -> tuple[dict[str, str], State]:
    """Return the notes in the header of a safetensors file, and its tensors."""
    try:
        str(path).encode()
    except UnicodeEncodeError:  # `safe_open`, which copies no byte, opens names in UTF-8 only
        content = read_bytes(path, _MOST_BYTES, ModelError)
        state = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return header.get("__metadata__", {}), {name: state[name] for name in sorted(state)}
    with safe_open(path, framework="pt", device="cpu") as file:
        return file.metadata() or {}, {name: file.get_tensor(name) for name in sorted(file.keys())}


def _load_safetensors(path: Path) -> Checkpoint:
    try:
        header, state = _tensors_of(path)
    except (SafetensorError, OSError) as error:
        reason = f"{path} is not a complete safetensors file ({error}); download or create it again"
        raise ModelError(reason) from error
    card_file = path.with_suffix(".json")
    if CARD_KEY in header:
        meta = parse_json(header[CARD_KEY], f"the card in the header of {path}", ModelError)
    else:
        meta = read_json(card_file, ModelError) if card_file.exists() else dict(header)
    if not isinstance(meta, dict):
        raise ModelError(
            f"the card of {path} (its header, or {card_file}) is not a JSON object; download or create it "
            "again"
        )
    if meta.get(_FINGERPRINT) not in (None, weights_sha256(state)):
        raise ModelError(
            f"{path} does not contain the weights of its card ({_FINGERPRINT} differs): it is damaged, or "
            f"{card_file.name} belongs to another file; download or create it again"
        )
    seal = meta.pop(_SEAL, None) if CARD_KEY in header else None
    if seal is not None and seal != sha256_of_values(meta):
        raise ModelError(
            f"the card in the header of {path} was changed after it was written: its checksum ({_SEAL}) is "
            "that of another card; download or create the file again"
        )
    sealed = seal is not None and _FINGERPRINT in meta
    return Checkpoint(without_wrapper_prefixes(state), meta, sealed)
