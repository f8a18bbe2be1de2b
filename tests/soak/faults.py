"""Damage a file: each fault takes a path and a random generator, and changes what lies at the path."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

MARKER = "PRECIOUS-7f3a"
"""The text of the file outside of the run's folder: no command may copy, change or delete it."""

NUMBERS = ("nan", "inf", "-1", "0", "1e308", "9" * 400, "", "true", "0x10", "१")
VALUES: tuple[Any, ...] = (
    None, True, -1, 10**400, 1e154, float("nan"), float("inf"), "", "x" * 20_000, [], {}, [[]],
    "../precious.txt", "/etc/hostname", "../../precious.txt", "\u202e\x9b", "=1+1",
)  # fmt: skip


def truncated(path: Path, random: Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: random.randrange(max(1, len(content)))])


def emptied(path: Path, _: Random) -> None:
    path.write_bytes(b"")


def removed(path: Path, _: Random) -> None:
    path.unlink()


def bytes_changed(path: Path, random: Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(random.randint(1, 8)):
        if content:
            content[random.randrange(len(content))] = random.randrange(256)
    path.write_bytes(content)


def zeros(path: Path, random: Random) -> None:
    content = bytearray(path.read_bytes())
    start = random.randrange(max(1, len(content)))
    content[start : start + 512] = bytes(len(content[start : start + 512]))
    path.write_bytes(content)


def of_another_kind(path: Path, random: Random) -> None:
    others = (
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"<!doctype html>",
        b"PK\x03\x04",
        b"{}",
        b"null",
        b"\xff\xfe\x00",
    )
    path.write_bytes(random.choice(others))


def folder(path: Path, _: Random) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path, _: Random) -> None:
    path.unlink()
    os.mkfifo(path)


def device(path: Path, _: Random) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def link_outside(path: Path, _: Random) -> None:
    path.unlink()
    path.symlink_to(next(up for up in path.parents if (up / "precious.txt").exists()) / "precious.txt")


def link_to_itself(path: Path, _: Random) -> None:
    path.unlink()
    path.symlink_to(path.name)


def line_twice(path: Path, random: Random) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    place = random.randrange(len(lines))
    path.write_bytes(b"".join([*lines[:place], lines[place], *lines[place:]]))


def line_removed(path: Path, random: Random) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    del lines[random.randrange(len(lines))]
    path.write_bytes(b"".join(lines))


def number_changed(path: Path, random: Random) -> None:
    text = path.read_text(encoding="utf-8", errors="replace")
    places = list(re.finditer(r"\d+(\.\d+)?", text))
    if places:
        found = random.choice(places)
        path.write_text(
            text[: found.start()] + random.choice(NUMBERS) + text[found.end() :], encoding="utf-8"
        )


def nested(path: Path, random: Random) -> None:
    depth = random.choice((1_000, 1_000_000))
    opening, closing = ("<a>", "</a>") if path.suffix == ".xml" else ("[", "]")
    path.write_text(opening * depth + closing * depth, encoding="utf-8")


def value_changed(path: Path, random: Random) -> None:
    """Put another value at a random place of a JSON document."""
    document = json.loads(path.read_text(encoding="utf-8"))
    holder, key = random.choice(list(_places(document)))
    holder[key] = random.choice(VALUES)
    path.write_text(json.dumps(document), encoding="utf-8")


def key_removed(path: Path, random: Random) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    holder, key = random.choice(list(_places(document)))
    del holder[key]
    path.write_text(json.dumps(document), encoding="utf-8")


def _places(document: Any) -> Any:
    keys = document.keys() if isinstance(document, dict) else range(len(document))
    for key in keys:
        yield document, key
        if isinstance(document[key], dict | list):
            yield from _places(document[key])


Fault = Callable[[Path, Random], None]
OF_ANY_FILE: tuple[Fault, ...] = (
    truncated, emptied, removed, bytes_changed, zeros, of_another_kind, folder, pipe, device, link_outside,
    link_to_itself,
)  # fmt: skip
OF_TEXT: tuple[Fault, ...] = (line_twice, line_removed, number_changed, nested)
OF_JSON: tuple[Fault, ...] = (value_changed, key_removed, value_changed, number_changed)


def faults_of(path: Path) -> tuple[Fault, ...]:
    """Return the faults that fit a file's kind."""
    if path.suffix == ".json":
        return OF_ANY_FILE + OF_TEXT + OF_JSON
    return OF_ANY_FILE + (OF_TEXT if path.suffix in {".xml", ".txt", ".csv", ".toml"} else ())
