"""English words for what the record names: plurals of classes, titles of failure types."""

import re

TYPE_TITLES = {
    "missed": "Missed",
    "background": "Background",
    "other_object": "Other object",
    "too_small": "Too small",
    "too_large": "Too large",
    "merged": "Merged",
    "split": "Split",
    "duplicate": "Duplicate",
    "poor_overlap": "Shifted",
    "success": "Correct",
}
"""What the page and the figures call the failure types, and correct boxes."""

_PLURALS = {"person": "people", "sheep": "sheep", "mouse": "mice", "knife": "knives", "aircraft": "aircraft"}


def plural_of(word: str) -> str:
    """Return a noun in the plural: dog -> dogs, bus -> buses, pony -> ponies."""
    if word in _PLURALS:
        return _PLURALS[word]
    if re.search(r"(?:s|x|z|ch|sh)$", word):
        return f"{word}es"
    return f"{word[:-1]}ies" if re.search(r"[^aeiou]y$", word) else f"{word}s"
