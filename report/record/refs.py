"""Values of the record with their paths, so that every number of a report can be traced."""

from collections.abc import Container, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel

from dogcam.errors import RecordError


class Ref:
    """A part of the record together with its path: what templates are given instead of bare values.

    Fields are reached as attributes and items by iteration, and each ref carries its path:
    `record.detection.methods`, iterated, gives refs to `detection.methods.0` and so on. A ref is as true as
    its value and compares like it, but it cannot be printed: a formatter decides how it is shown.
    """

    __slots__ = ("_path", "_value")

    def __init__(self, value: Any, path: str = "") -> None:
        self._value = value
        self._path = path

    def __getattr__(self, name: str) -> "Ref":
        if name.startswith("__"):
            raise AttributeError(name)
        value = self._value
        if name in _fields(value):
            return Ref(getattr(value, name), self._join(name))
        if isinstance(value, dict) and name in value:
            return Ref(value[name], self._join(name))
        raise RecordError(f"the record has no {self._join(name)!r}")

    def __getitem__(self, index: int) -> "Ref":
        if not isinstance(index, int):
            raise TypeError(f"{self!r} is indexed by {index!r}; fields are attributes")
        return Ref(self._value[index], self._join(str(range(len(self._value))[index])))

    def __iter__(self) -> Iterator["Ref"]:
        if isinstance(self._value, dict):
            return iter([Ref(value, self._join(name)) for name, value in self._value.items()])
        return iter([Ref(value, self._join(str(index))) for index, value in enumerate(self._value)])

    def __len__(self) -> int:
        return len(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return self._value == raw(other)

    def __lt__(self, other: object) -> bool:
        return self._value < raw(other)

    def __gt__(self, other: object) -> bool:
        return self._value > raw(other)

    def __hash__(self) -> int:
        return hash(self._path)

    def __repr__(self) -> str:
        return f"Ref({self._path})"

    def _join(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name


def _fields(value: Any) -> Container[str]:
    """Return the names of the fields of a part of the record."""
    if isinstance(value, BaseModel):
        return type(value).model_fields
    return [field.name for field in fields(value)] if is_dataclass(value) else ()


def raw(value: object) -> Any:
    """Return what a ref refers to; anything else as it is."""
    return value._value if isinstance(value, Ref) else value


def path_of(ref: Ref) -> str:
    """Return the path of a ref in the record: names and indices joined by dots."""
    return ref._path


def entries(mapping: Ref) -> list[tuple[Ref, Ref]]:
    """Return the names of a mapping with their values, in its order."""
    return [(Ref(name, path_of(value)), value) for name, value in zip(raw(mapping), mapping, strict=True)]


def find(items: Ref, **wanted: object) -> Ref:
    """Return the item of a list whose fields have these values.

    Raises:
        RecordError: if there is no such item.
    """
    for item in items:
        if all(getattr(item, name) == value for name, value in wanted.items()):
            return item
    raise RecordError(f"{path_of(items)} has no item with {wanted}")


def follow(ref: Ref, path: str) -> Ref:
    """Follow a path through the record from a ref that is the whole of it."""
    for name in path.split("."):
        ref = ref[int(name)] if name.isdecimal() else getattr(ref, name)
    return ref


def resolve(document: Any, path: str) -> Any:
    """Follow a path through a record as JSON gives it.

    Raises:
        RecordError: if there is no such path.
    """
    for name in path.split("."):
        try:
            document = document[int(name)] if isinstance(document, list) else document[name]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise RecordError(f"the record has no {path!r}: it ends at {name!r}") from error
    return document
