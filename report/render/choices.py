"""What templates show first, chosen from the record by rule."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any, cast

from report.record import Results
from report.record.base import Model
from report.record.refs import Ref, path_of, raw
from report.record.words import TYPE_TITLES, TYPES_BY_FIX, meaning_of

_IDENTITY = (("id",), ("name",), ("a", "b", "iou"), ("iou",), ("by",), ("kind",), ("low",))
"""The fields by which an item of a list is named: the first of these that it has."""


def of(record: Model) -> dict[str, Any]:
    """Return the choices that templates may ask for, by name; none for a record of another kind."""
    if not isinstance(record, Results):
        return {}
    whole = Ref(record)
    return {
        "type_titles": TYPE_TITLES,
        "meaning_of": lambda failure_type: Ref(
            meaning_of(raw(failure_type), record.data.target), "data.target"
        ),
        "types_by_fix": TYPES_BY_FIX,
        "by_stake": lambda: by_stake(whole),
        "occurring_types": lambda: occurring_types(whole),
        "shown_types": lambda: shown_types(whole),
        "of_classes": lambda kind: of_classes(whole, raw(kind)),
        "strip": lambda: strip(whole),
        "lowest_threshold": lowest_threshold,
        "same_as_main": lambda name: same_as_main(whole, raw(name)),
        "address_of": address_of,
        "readable": lambda ref: Ref(readable(record, raw(ref)), path_of(ref)),
    }


def by_stake(record: Ref) -> list[Ref]:
    """Return the failure types of the main class that occur, by AP gain if fixed, the highest first."""
    types = [each for each in record.failures.types if each.n_detections or each.n_missed]
    return sorted(types, key=lambda each: -(raw(each.ap_gain.value) or 0.0))


def occurring_types(record: Ref) -> list[Ref]:
    """Return the failure types that occur in any class: by AP gain of the main class, then the others."""
    ordered, others = by_stake(record), record.classes.failures if record.classes else ()
    counts = [each for other in others for each in other.types]
    elsewhere = {raw(each.type) for each in counts if each.n_detections or each.n_missed}
    main = {raw(each.type) for each in ordered}
    return ordered + [each for each in record.failures.types if raw(each.type) in elsewhere - main]


def shown_types(record: Ref) -> list[Ref]:
    """Return the failure types with a picture of any class, in the same order."""
    return [each for each in occurring_types(record) if each.items or of_classes(record, raw(each.type))]


def of_classes(record: Ref, kind: str) -> list[Ref]:
    """Return the pictures of the other classes that are of one type."""
    others: Iterable[Ref] = record.classes.failures if record.classes else ()
    return [item for each in others for item in each.items if item.type == kind]


def strip(record: Ref) -> list[Ref]:
    """Return the pictures of the first screen: a success and an example of the three costliest types.

    Each is the median of its list, or the first if there is none; at most one picture of an image.
    """
    lists = [record.failures.successes, *(each.items for each in by_stake(record))]
    chosen: list[Ref] = []
    for items in lists:
        ordered = sorted(items, key=lambda item: raw(item.picked) != "median")
        seen = {raw(item.image_id) for item in chosen}
        fresh = [item for item in ordered if raw(item.image_id) not in seen]
        chosen += fresh[:1]
    return chosen[:4]


def lowest_threshold(tuning: Ref) -> float | None:
    """Return the lowest cam_threshold that was tried in a tuning."""
    return min((row.cam_threshold for row in raw(tuning.rows)), default=None)


def same_as_main(record: Ref, name: str) -> bool:
    """Tell whether a method's maps were measured to be those of the main method."""
    main = raw(record.operating_point.method)
    return any(
        raw(each.same) for each in record.map_comparisons if raw(each.a) == main and raw(each.b) == name
    )


def address_of(item: Ref) -> str:
    """Return the id of a picture in the page: its type, its number and its image."""
    image = re.sub(r"[^\w-]+", "-", raw(item.image_id)).strip("-").lower()[:40]
    return "-".join([PurePosixPath(raw(item.photo)).stem.replace("_", "-"), image or "x"])


def readable(record: Results, path: str) -> str:
    """Name the items of lists in a path by what identifies them, not by their numbers.

    Args:
        record: whose path it is.
        path: such as `detection.comparisons.26.difference`.

    Returns:
        The path, such as `detection.comparisons[grad_cam, centerbox_scored, 0.5].difference`.
    """
    words, here = "", cast(Any, record)
    for step in path.split("."):
        if isinstance(here, list):
            here = here[int(step)]
            keys: tuple[str, ...] = next((keys for keys in _IDENTITY if hasattr(here, keys[0])), ())
            words += f"[{', '.join(str(getattr(here, key)) for key in keys) or step}]"
        else:
            here = getattr(here, step)
            words += f".{step}" if words else step
    return words
