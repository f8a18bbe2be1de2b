"""The base of all settings of a training: frozen, validated, and read from plain values."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from dogcam.errors import ConfigError


class Settings(BaseModel):
    """Frozen settings that are validated when they are made.

    Raises:
        ConfigError: if a setting is unknown or has an invalid value; the message names the first one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(_message(error)) from error


def _message(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        return f"{name} is not a setting of {error.title}; remove it or correct its name"
    return f"{name} is {first['input']!r}: {reason}" if name else reason
