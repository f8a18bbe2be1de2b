"""What templates show first, chosen from the record by rule."""

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from report.record import Results
from report.record.base import Model
from report.record.refs import Ref, raw


def of(record: Model) -> dict[str, Callable[..., Any]]:
    """Return the choices that templates may ask for, by name; none for a record of another kind."""
    if not isinstance(record, Results):
        return {}
    whole = Ref(record)
    return {
        "by_stake": lambda: by_stake(whole),
        "strip": lambda: strip(whole),
        "lowest_threshold": lowest_threshold,
        "same_as_main": lambda name: same_as_main(whole, raw(name)),
        "address_of": address_of,
    }


def by_stake(record: Ref) -> list[Ref]:
    """Return the failure types that occur, by AP gain if fixed, the highest first."""
    types = [each for each in record.failures.types if each.n_detections or each.n_missed]
    return sorted(types, key=lambda each: -(raw(each.ap_gain.value) or 0.0))


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
