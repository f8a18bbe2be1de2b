"""Split specs: subsets of a split, such as `train[2000:]`."""

import re
from collections.abc import Sequence

from dogcam.errors import DataError

SEED = 2007
"""Random seed of the order of subsets; lists are often sorted, and their subsets would be biased."""

_SPEC = re.compile(r"(?P<name>[^\[\]]+)\[(?P<start>[0-9]{0,18}):(?P<stop>[0-9]{0,18})\]")


def split_name(name: str) -> str:
    """Return the name of the split of a split spec: `train` for `train[2000:]` and for `train`."""
    return name.partition("[")[0]


def subset_of(ids: Sequence[str], name: str) -> list[str]:
    """Return the subset of a split that a split spec selects.

    `NAME[START:STOP]` selects the images START to STOP - 1 in a fixed random order (`torch.randperm` with
    random seed 2007); START and STOP default to the ends of the split. Disjoint ranges have no common image.
    A name without brackets selects all images in the order of the list.

    Args:
        ids: all ids of the split, in the order of its list.
        name: split spec.

    Raises:
        DataError: if the spec is malformed, selects no image, or exceeds the split.

    >>> ids = [f"{number:03d}" for number in range(100)]
    >>> train, validation = subset_of(ids, "all[:80]"), subset_of(ids, "all[80:]")
    >>> len(train), len(validation), set(train) & set(validation)
    (80, 20, set())
    """
    if "[" not in name:
        return list(ids)
    found = _SPEC.fullmatch(name)
    if not found:
        raise DataError(f"{name[:80]!r} is not a split spec; expected NAME[START:STOP], such as train[:2000]")
    start, stop = int(found["start"] or 0), int(found["stop"] or len(ids))
    if not 0 <= start < stop <= len(ids):
        raise DataError(
            f"{name!r} selects the images {start} to {stop} of {len(ids)}; expected at least one image, and "
            f"an end of at most {len(ids)}"
        )
    # Imported here: reading whole splits, and evaluating boxes, do not need torch.
    import torch

    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(SEED)).tolist()
    return [ids[index] for index in order[start:stop]]
