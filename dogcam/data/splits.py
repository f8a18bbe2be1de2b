"""Parts of a split, such as `train[2000:]`: to keep images aside that nothing is learned from."""

import re
from collections.abc import Sequence

from dogcam.errors import DataError

SEED = 2007
"""Of the order that parts are taken in: lists are sorted by date or by place, and a part would be biased."""

_PART = re.compile(r"(?P<name>[^\[\]]+)\[(?P<start>[0-9]{0,18}):(?P<stop>[0-9]{0,18})\]")


def split_name(name: str) -> str:
    """Return the name of the split that a part is of: `train` for `train[2000:]`, and for `train`."""
    return name.partition("[")[0]


def subset_of(ids: Sequence[str], name: str) -> list[str]:
    """Return the part of a split that a name asks for.

    `NAME[START:STOP]` takes the places START to STOP - 1 of the split's images in a shuffled order that is
    always the same, `torch.randperm` with seed 2007; an end that is left out is that of the split. Parts that
    share no place share no image. A name without brackets takes all, in the order of the list.

    Args:
        ids: the whole split, in the order of its list.
        name: name of the split, with or without a part.

    Raises:
        DataError: where the part is not written so, or holds no image, or ends beyond the split.
    """
    if "[" not in name:
        return list(ids)
    found = _PART.fullmatch(name)
    if not found:
        raise DataError(
            f"{name[:80]!r} is not a part of a split; expected NAME[START:STOP], such as train[:2000]"
        )
    start, stop = int(found["start"] or 0), int(found["stop"] or len(ids))
    if not 0 <= start < stop <= len(ids):
        raise DataError(
            f"{name!r} asks for places {start} to {stop} of a split of {len(ids)} images; expected a part "
            "that holds at least one of them and ends within"
        )
    # Whoever asks for whole splits, or evaluates boxes alone, need not wait for torch.
    import torch

    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(SEED)).tolist()
    return [ids[place] for place in order[start:stop]]
