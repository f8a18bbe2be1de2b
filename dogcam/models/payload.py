"""Find the weights in the content of a file of `torch.save`, under the keys that training programs use."""

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
"""The key of the card, as JSON text, in files of dogcam."""

WRAPPERS = (
    PUBLISHED, "state_dict_ema", "model_ema", "ema_state_dict", "ema", "state_dict", "model_state_dict",
    "model", "network", "net", "module", "weights", "params_ema", "params",
)  # fmt: skip
"""Keys of weights, in order of preference: averages over the training (EMA) first."""

_SHOWN = 3
"""Maximum number of names in an error message."""

_PLAIN = (str, int, float, bool)


def state_in(payload: object, path: Path) -> tuple[State, dict[str, Any]]:
    """Return the weights of a payload, and its metadata.

    The weights are the payload itself, or are under one of the keys in `WRAPPERS`, or under the only key that
    holds tensors. Entries that are not tensors are ignored. The prefixes of data parallel training
    (`module.`) and of `torch.compile` (`_orig_mod.`) are removed.

    Returns:
        The tensors by name; and the metadata: `classes`, plain values, and under `weights_from` the key of
        the weights if there were several.

    Raises:
        ModelError: if no weights are found; the message lists the keys that were found.
    """
    try:
        return _state_in(payload, path)
    except RecursionError as error:  # the file nests mappings deeply, or contains itself
        raise ModelError(
            f"{path} nests its weights too deeply; save the state alone: "
            "torch.save(network.state_dict(), 'weights.pt')"
        ) from error


def _state_in(payload: object, path: Path) -> tuple[State, dict[str, Any]]:
    if not isinstance(payload, Mapping):
        raise ModelError(
            f"{path} contains a {type(payload).__name__}; expected the state dict of a network: "
            "torch.save(network.state_dict(), 'weights.pt')"
        )
    tensors = {k: value for k, value in payload.items() if isinstance(k, str) and isinstance(value, Tensor)}
    nested = [key for key, value in payload.items() if _holds_tensors(value)]
    keys = [key for key in WRAPPERS if key in nested] or (nested if len(nested) == 1 and not tensors else [])
    if keys:
        state, inner = _state_in(payload[keys[0]], path)
        meta = inner | _meta(payload, path)
        return state, meta | ({"weights_from": keys[0]} if len(keys) > 1 else {})
    if not tensors or nested:
        found = f"tensors under {some(map(repr, nested))}" if nested else some([repr(key) for key in payload])
        raise ModelError(
            f"{path} contains no weights: found {found or 'an empty dict'}; expected tensors by name, alone "
            f"or under one of the keys {', '.join(WRAPPERS)}; save them alone"
        )
    return without_wrapper_prefixes(tensors), _meta(payload, path)


def without_wrapper_prefixes(state: Mapping[Any, Tensor]) -> State:
    """Remove the prefixes that data parallel training, weight averaging and `torch.compile` add to names."""
    named = {str(key).replace("_orig_mod.", ""): tensor for key, tensor in state.items()}
    if any(name.startswith("module.") for name in named):
        named.pop("n_averaged", None)
    while named and all(name.startswith("module.") for name in named):
        named = {name.removeprefix("module."): tensor for name, tensor in named.items()}
    return named


def some(names: Iterable[str]) -> str:
    """Return the first names, and the number of the others."""
    names = list(names)
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


def _holds_tensors(value: object) -> bool:
    """Check for a mapping of names to tensors, or a mapping that contains one under a key of `WRAPPERS`."""
    if not isinstance(value, Mapping):
        return False
    named = any(isinstance(key, str) and isinstance(each, Tensor) for key, each in value.items())
    return named or any(_holds_tensors(value.get(key)) for key in WRAPPERS)


def _meta(payload: Mapping[Any, Any], path: Path) -> dict[str, Any]:
    """Return the metadata of a payload."""
    if CARD_KEY in payload:
        # Exports of dogcam contain the whole card as text, which other readers can ignore.
        card = parse_json(payload[CARD_KEY], f"the card within {path}", ModelError)
        if not isinstance(card, dict):
            raise ModelError(f"the card in {path} is not a JSON object; download or export it again")
        return card
    meta = {str(key): value for key, value in payload.items() if isinstance(value, _PLAIN)}
    match payload:
        case {"class_to_idx": Mapping() as indices} if sorted(indices.values()) == [*range(len(indices))]:
            return meta | {"classes": sorted(indices, key=lambda name: indices[name])}
        case {"classes": [*names]}:
            return meta | ({"classes": names} if names else {})
        case {"classes": found} if found is not None:
            # A file that states its classes in any form does not have the published order.
            return meta | {"classes": found if isinstance(found, _PLAIN) else f"a {type(found).__name__}"}
    return meta
