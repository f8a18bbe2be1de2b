"""Damage a file: each fault takes a path and a random generator, and changes what lies at the path."""

import json
import os
import re
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from dogcam.files import sha256_of_values

MARKER = "PRECIOUS-7f3a"
"""The text of the file outside of the run's folder: no command may copy, change or delete it."""

NUMBERS = ("nan", "inf", "-1", "0", "1e308", "9" * 400, "", "true", "0x10", "१")
VALUES: tuple[Any, ...] = (
    None, True, -1, 10**400, 1e154, float("nan"), float("inf"), "", "x" * 20_000, [], {}, [[]],
    "../precious.txt", "/etc/hostname", "../../precious.txt", "\u202e\x9b", "=1+1", "\ud800", "a\0b",
    "\n| $x$",
    "<script>", 0, 0.5, 2**63, -(10**400), [[1, 2, 3, 4]], {"a": 1},
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


def card_changed(path: Path, random: Random) -> None:
    """Put another value into the header of a safetensors file: its card, or the form of a tensor."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    holder, key = random.choice(list(_places(header)))
    if isinstance(holder[key], str) and holder[key].startswith("{"):
        card = json.loads(holder[key])
        inner, name = random.choice(list(_places(card)))
        inner[name] = random.choice(VALUES)
        # Half of the cards are of a program that writes such values, and seals them.
        seal = card.pop("seal", None)
        if seal is not None:
            with suppress(ValueError):
                card["seal"] = random.choice((seal, sha256_of_values(json.loads(json.dumps(card)))))
        holder[key] = json.dumps(card)
    else:
        holder[key] = random.choice(VALUES)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


def another_picture(path: Path, random: Random) -> None:
    """Put a picture of an odd kind in the place of a photograph."""
    side = random.choice((1, 3, 96, 100))
    pixels = np.arange(side * side, dtype=np.uint16).reshape(side, side)
    picture = Image.fromarray((pixels % 256).astype(np.uint8))
    options: dict[str, Any] = {}
    match random.randrange(9):
        case 0:
            kind, picture = "PNG", Image.fromarray(pixels)
        case 1:
            kind, picture = "JPEG", picture.convert("CMYK")
        case 2:
            kind, options = (
                "GIF",
                {"save_all": True, "append_images": [picture.transpose(Image.Transpose.ROTATE_90)]},
            )
        case 3:
            kind, picture = "TIFF", Image.fromarray(pixels.astype(np.float32))
        case 4:
            kind, picture = "PNG", Image.new("1", (random.choice((9_000, 13_000)),) * 2)
        case 5:
            exif = Image.Exif()
            exif[0x0112] = random.choice((2, 3, 5, 6, 8, 9, 0))
            kind, options = "JPEG", {"exif": exif}
        case 6:
            kind, picture = "PNG", picture.convert("RGBA")
        case 7:
            kind = random.choice(("EPS", "PDF", "ICO", "TGA", "JPEG2000"))
        case _:
            kind, picture = "BMP", picture.convert("P")
    picture.save(path, format=kind, **options)


def joined_line(path: Path, random: Random) -> None:
    """Add a line that ends in something odd."""
    tail = random.choice(
        (b"../../precious.txt\n", b"a\0b\n", b"\xff\xfe\n", b"x" * 300 + b"\n", b"=1+1,2\n", b"&a [*a]\n")
    )
    path.write_bytes(path.read_bytes() + tail)


def odd_option(words: list[str], random: Random) -> list[str]:
    """Put another value in the place of one word of a command line, apart from what it writes to."""
    places = [
        n for n in range(1, len(words)) if words[n - 1] not in ("--out", "--json") and words[n][:2] != "--"
    ]
    place = random.choice(places)
    return [*words[:place], random.choice(OPTIONS), *words[place + 1 :]]


OPTIONS = (
    "", "nan", "-1", "0", "1e400", "9" * 400, "x" * 300, "val[0:1" + "0" * 40 + "]",
    "val[:0]", "val[", "train[1:2]",
    "../precious.txt", "/dev/zero", "/dev/full", ".", "..", "precious.txt", "\u202e", "\udcff", "dog\n",
    "none", "all", "auto",
    "report.cli:main", "tests:x", "~", "$HOME", "-", "--", "*",
)  # fmt: skip
"""Words for the place of any word of a command line."""

Fault = Callable[[Path, Random], None]
OF_ANY_FILE: tuple[Fault, ...] = (
    truncated, emptied, removed, bytes_changed, zeros, of_another_kind, folder, pipe, device, link_outside,
    link_to_itself,
)  # fmt: skip
OF_TEXT: tuple[Fault, ...] = (line_twice, line_removed, number_changed, number_changed, nested, joined_line)
OF_JSON: tuple[Fault, ...] = (value_changed, key_removed, value_changed, number_changed)


def faults_of(path: Path) -> tuple[Fault, ...]:
    """Return the faults that fit a file's kind."""
    match path.suffix:
        case ".json":
            return OF_ANY_FILE + OF_TEXT + OF_JSON
        case ".safetensors":
            return (*OF_ANY_FILE, card_changed, card_changed, card_changed)
        case ".jpg" | ".png" | ".webp":
            return (*OF_ANY_FILE, another_picture, another_picture, another_picture)
        case ".xml" | ".txt" | ".csv" | ".toml" | ".yaml" | ".svg" | ".html" | ".md":
            return OF_ANY_FILE + OF_TEXT
    return OF_ANY_FILE
