"""The building blocks of the record: frozen models, fractions, estimates with their intervals."""

from pydantic import BaseModel, ConfigDict

from dogcam.structures.estimates import Estimate, Interval

__all__ = ["MAX_TEXT", "Estimate", "Fraction", "Interval", "Model"]

Fraction = float
"""A number from 0 to 1; the record never holds percent."""


MAX_TEXT = 100_000
"""Characters of a text of the record."""


class Model(BaseModel):
    """A frozen part of the record in which an unknown or misspelt field is an error.

    Fields may be dataclasses of `dogcam`: they are read and written by the same rules.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, str_max_length=MAX_TEXT)
