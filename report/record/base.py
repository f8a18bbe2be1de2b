"""What every part of the record is made of: frozen models, fractions, estimates with their intervals."""

from pydantic import BaseModel, ConfigDict

Fraction = float
"""A number from 0 to 1; the record never holds percent."""


class Model(BaseModel):
    """A frozen part of the record in which an unknown or misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Interval(Model):
    """A bootstrap interval over images."""

    low: float | None
    high: float | None
    level: Fraction


class Estimate(Model):
    """A number measured on a sample of images, with its interval; null where it is not defined."""

    value: float | None
    interval: Interval | None = None
