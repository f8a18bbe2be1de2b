"""Requirements on a record, such as `grad_cam.ap@0.5 >= 0.4`: a gate for builds, read and never evaluated."""

import difflib
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast, get_args

from dogcam.errors import ConfigError, RecordError
from report.record import Results
from report.record.claims import Status

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge, "<=": operator.le, "==": operator.eq, "!=": operator.ne,
    ">": operator.gt, "<": operator.lt,
}  # fmt: skip
_EXPRESSION = re.compile(r"\s*([^\s<>=!]+)\s*(>=|<=|==|!=|>|<)\s*([^<>=!]+?)\s*")
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(%?)")
_N_NEAR = 3


@dataclass(frozen=True)
class Requirement:
    """A condition on a record.

    Attributes:
        text: as the user wrote it.
        name: of the number or claim.
        relation: one of the six signs of comparison.
        wanted: a number, or the status of a claim.
    """

    text: str
    name: str
    relation: str
    wanted: float | Status


@dataclass(frozen=True)
class Outcome:
    """A requirement and the value found; None if undefined, which meets no requirement."""

    requirement: Requirement
    found: float | Status | None

    @property
    def met(self) -> bool:
        """Whether the record satisfies it."""
        if self.found is None:
            return False
        return _OPERATORS[self.requirement.relation](self.found, self.requirement.wanted)

    def __str__(self) -> str:
        found = "n/a" if self.found is None else self.found
        return f"{'met' if self.met else 'NOT MET':<8} {self.requirement.text}: found {found}"


def parse_requirement(text: str) -> Requirement:
    """Read `NAME RELATION VALUE`; the value is a number, one in percent, or a claim's status.

    Raises:
        ConfigError: if the text is not a requirement.
    """
    whole = _EXPRESSION.fullmatch(text)
    if not whole:
        raise ConfigError(
            f"{text!r} is not a requirement; expected one such as 'grad_cam.ap@0.5 >= 0.4', "
            f"with one of {' '.join(_OPERATORS)}"
        )
    name, relation, value = whole.groups()
    number = _NUMBER.fullmatch(value)
    wanted: float | Status
    if number:
        wanted = float(number[1]) / (100 if number[2] else 1)
    elif value in get_args(Status):
        wanted = cast(Status, value)
    else:
        raise ConfigError(
            f"{text!r} compares with {value!r}; expected a number, one in percent, or a claim's status "
            f"({', '.join(get_args(Status))})"
        )
    if isinstance(wanted, str) and relation not in ("==", "!="):
        raise ConfigError(f"{text!r}: the status of a claim can only be compared with == or !=")
    return Requirement(text.strip(), name, relation, wanted)


def check_requirements(record: Results, requirements: list[Requirement]) -> list[Outcome]:
    """Evaluate the requirements.

    Raises:
        RecordError: if the record has no such name; the message lists similar names.
    """
    known = names_of(record)
    outcomes = []
    for requirement in requirements:
        if requirement.name not in known:
            near = difflib.get_close_matches(requirement.name, known, _N_NEAR, 0.4)
            raise RecordError(
                f"{requirement.text!r}: the record has no {requirement.name!r}; "
                f"similar names are {', '.join(near or list(known)[:_N_NEAR])}"
            )
        found = known[requirement.name]
        if found is not None and isinstance(found, str) != isinstance(requirement.wanted, str):
            raise RecordError(
                f"{requirement.text!r}: {requirement.name} is {found!r}, which cannot be compared with "
                f"{requirement.wanted!r}"
            )
        outcomes.append(Outcome(requirement, found))
    return outcomes


def names_of(record: Results) -> dict[str, float | Status | None]:
    """Return every value that a requirement can use, by name.

    Methods at an IoU threshold (`grad_cam.ap@0.5`), claims (`claims.NAME`) and every other number of the
    record outside lists, by its path; an estimate (`operating_point.f1`) is its value.
    """
    named: dict[str, float | Status | None] = {}
    for method in record.detection.methods:
        for row in method.rows:
            fields = row.model_dump(mode="json")
            for name in sorted(fields.keys() - {"iou"}):
                if fields[name] is None or _is_number(fields[name]):
                    named[f"{method.name}.{name}@{row.iou:g}"] = fields[name]
    named |= {f"claims.{claim.id}": claim.status for claim in record.claims}
    return named | dict(_numbers("", record.model_dump(mode="json")))


def _numbers(path: str, part: Any) -> list[tuple[str, float | None]]:
    if _is_number(part):
        return [(path, part)]
    if not isinstance(part, dict):
        return []
    whole = [(path, part["value"])] if part.keys() == {"value", "interval"} else []
    inner = (_numbers(f"{path}.{name}" if path else name, value) for name, value in part.items())
    return whole + [pair for pairs in inner for pair in pairs]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
