"""The building blocks of the record: frozen models, fractions, estimates with their intervals."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, computed_field, model_validator

from dogcam.files import sha256_of_values
from dogcam.structures.estimates import Estimate, Interval

__all__ = ["MAX_TEXT", "Estimate", "Fraction", "Interval", "Model", "Sealed", "seal_of"]

Fraction = float
"""A number from 0 to 1; the record never holds percent."""


MAX_TEXT = 100_000
"""Characters of a text of the record."""


class Model(BaseModel):
    """A frozen part of the record in which an unknown or misspelt field is an error.

    Fields may be dataclasses of `dogcam`: they are read and written by the same rules.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, str_max_length=MAX_TEXT)


class Sealed(Model):
    """A whole record, which contains a checksum of its content: a change of its file is noticed."""

    @computed_field(description="SHA-256 of the rest of the record")  # type: ignore[prop-decorator]
    @property
    def seal(self) -> str:
        """The checksum, which `read_record` compares with that of the file's content."""
        return seal_of(self.model_dump(mode="json", exclude={"seal"}))

    @model_validator(mode="before")
    @classmethod
    def _computes_its_seal(cls, data: Any) -> Any:
        return {name: data[name] for name in data if name != "seal"} if isinstance(data, dict) else data

    def to_json(self) -> str:
        """Return the record as JSON text, the same text for equal records."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def seal_of(document: dict[str, Any]) -> str:
    """Return the checksum of a record as JSON gives it; its own seal does not count."""
    content = {name: value for name, value in document.items() if name != "seal"}
    return sha256_of_values(content)
