"""Find the weights in what a file of `torch.save` holds, under the names that training programs use."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from dogcam.errors import ModelError
from dogcam.files import parse_json

State = dict[str, Tensor]

PUBLISHED = "model_sdict"
"""The key of the weights in the published checkpoints."""

CARD_KEY = "card"
"""The key of the card, as JSON text, in our own files."""

WRAPPERS = (
    PUBLISHED, "state_dict_ema", "model_ema", "ema_state_dict", "ema", "state_dict", "model_state_dict",
    "model", "network", "net", "module", "weights", "params",
)  # fmt: skip
"""Keys that hold weights; of several, the first is taken: weights averaged over training go first."""

_SHOWN = 3
"""How many names an error lists before it only counts them."""

_PLAIN = (str, int, float, bool)


def state_in(payload: object, path: Path) -> tuple[State, dict[str, Any]]:
    """Return the weights in a payload, and its notes.

    The weights are the payload itself, or lie under one of `WRAPPERS`. Entries that are no tensors are left
    out. The prefixes of data parallel training (`module.`) and of `torch.compile` (`_orig_mod.`) are removed.

    Returns:
        The tensors by name; and `classes`, plain values, and under `weights_from` the key of the weights if
        there were several.

    Raises:
        ModelError: if no weights are found; the message names the keys that are there.
    """
    if not isinstance(payload, Mapping):
        raise ModelError(f"{path} holds a {type(payload).__name__}; expected the dict of a model's state")
    keys = [key for key in WRAPPERS if _holds_tensors(payload.get(key))]
    if keys:
        state, inner = state_in(payload[keys[0]], path)
        notes = inner | _notes(payload, path)
        return state, notes | ({"weights_from": keys[0]} if len(keys) > 1 else {})
    tensors = {k: value for k, value in payload.items() if isinstance(k, str) and isinstance(value, Tensor)}
    nested = [repr(key) for key, value in payload.items() if _holds_tensors(value)]
    if not tensors or nested:
        found = f"tensors under {some(nested)}" if nested else some([repr(key) for key in payload])
        raise ModelError(
            f"{path} holds no model state: found {found or 'an empty dict'}; expected tensors by name, alone "
            f"or under one of the keys {', '.join(WRAPPERS)}"
        )
    return without_wrapper_prefixes(tensors), _notes(payload, path)


def without_wrapper_prefixes(state: Mapping[Any, Tensor]) -> State:
    """Remove what data parallel training, averaging of weights and `torch.compile` add to the names."""
    named = {str(key).replace("_orig_mod.", ""): tensor for key, tensor in state.items()}
    if any(name.startswith("module.") for name in named):
        named.pop("n_averaged", None)
    while named and all(name.startswith("module.") for name in named):
        named = {name.removeprefix("module."): tensor for name, tensor in named.items()}
    return named


def some(names: Iterable[str]) -> str:
    """Return the first names, and how many more there are."""
    names = list(names)
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


def _holds_tensors(value: object) -> bool:
    """Check for a mapping of names to tensors, or one that wraps such a mapping."""
    if not isinstance(value, Mapping):
        return False
    named = any(isinstance(key, str) and isinstance(each, Tensor) for key, each in value.items())
    return named or any(_holds_tensors(value.get(key)) for key in WRAPPERS)


def _notes(payload: Mapping[Any, Any], path: Path) -> dict[str, Any]:
    """Return what a file says besides its weights."""
    if CARD_KEY in payload:
        # Our own exports carry the whole card as text, which any reader of the form may ignore.
        card = parse_json(payload[CARD_KEY], f"the card within {path}", ModelError)
        if not isinstance(card, dict):
            raise ModelError(f"the notes within {path} are no JSON object; download or make it again")
        return card
    notes = {str(key): value for key, value in payload.items() if isinstance(value, _PLAIN)}
    match payload:
        case {"class_to_idx": Mapping() as indices} if sorted(indices.values()) == [*range(len(indices))]:
            return notes | {"classes": sorted(indices, key=lambda name: indices[name])}
        case {"classes": [*names]}:
            return notes | ({"classes": names} if names else {})
        case {"classes": found} if found is not None:
            # Whatever a file says of its outputs, they are not taken to be in the published order.
            return notes | {"classes": found if isinstance(found, _PLAIN) else f"a {type(found).__name__}"}
    return notes
