"""English words for names in the record: articles, plurals, titles and meanings of failure types."""

import re
from typing import get_args

from dogcam.structures.categories import TYPE_TEXTS, FailureType, OracleFix

TYPE_TITLES: dict[str, str] = {name: text.title for name, text in TYPE_TEXTS.items()} | {"success": "Correct"}
"""The titles of the failure types and of correct boxes in pages and figures."""

TYPES_BY_FIX: dict[OracleFix, list[FailureType]] = {
    fix: [name for name, text in TYPE_TEXTS.items() if text.fix == fix] for fix in get_args(OracleFix)
}
"""The failure types of each oracle fix."""

_AN = re.compile(
    r"(?!eu|ew|on(?:e|ce)\b|u(?:k|ni|r[aeio]|s[aeu]|t[aeio]))[aeiou]|hour|heir|honest|honou?r", re.IGNORECASE
)
"""Words that begin with a vowel sound, judged by their letters: an hour, but a unicorn."""

_PLURALS = {"person": "people", "sheep": "sheep", "mouse": "mice", "knife": "knives", "aircraft": "aircraft"}


def meaning_of(failure_type: FailureType, target: str) -> str:
    """Return the meaning of a failure type for a target.

    >>> meaning_of("duplicate", "aeroplane")
    'second box on an aeroplane already matched'
    """
    text = TYPE_TEXTS[failure_type].meaning
    return text.format(target=target, targets=plural_of(target), a_target=f"{article_of(target)} {target}")


def article_of(words: str) -> str:
    """Return the indefinite article of words: a dog, an aeroplane."""
    return "an" if _AN.match(words) else "a"


def plural_of(word: str) -> str:
    """Return a noun in the plural: dog -> dogs, bus -> buses, pony -> ponies."""
    if word in _PLURALS:
        return _PLURALS[word]
    if re.search(r"(?:s|x|z|ch|sh)$", word):
        return f"{word}es"
    return f"{word[:-1]}ies" if re.search(r"[^aeiou]y$", word) else f"{word}s"
