"""Settings that are one of a few words: the words are a `Literal`, and stand nowhere else."""

from typing import Any, get_args

from dogcam.errors import ConfigError


def choices_of(words: Any) -> list[str]:
    """Return the words of a `Literal`, in their order."""
    return list(get_args(words))


def require_choice(name: str, value: object, words: Any) -> None:
    """Refuse a value that is none of the words of a `Literal`.

    Args:
        name: of the setting, for the message.
        value: what was given.
        words: a `Literal` of two or more strings.

    Raises:
        ConfigError: where it is another.
    """
    *others, last = choices_of(words)
    if value not in (*others, last):
        raise ConfigError(f"{name} is {value!r}; expected {', '.join(others)} or {last}")
