"""English words for what the record names: plurals of classes, titles of failure types."""

import re

from dogcam.structures.categories import TITLES

TYPE_TITLES: dict[str, str] = dict[str, str](TITLES.items()) | {"success": "Correct"}
"""The titles of the failure types and of correct boxes in pages and figures."""

_PLURALS = {"person": "people", "sheep": "sheep", "mouse": "mice", "knife": "knives", "aircraft": "aircraft"}


def plural_of(word: str) -> str:
    """Return a noun in the plural: dog -> dogs, bus -> buses, pony -> ponies."""
    if word in _PLURALS:
        return _PLURALS[word]
    if re.search(r"(?:s|x|z|ch|sh)$", word):
        return f"{word}es"
    return f"{word[:-1]}ies" if re.search(r"[^aeiou]y$", word) else f"{word}s"
