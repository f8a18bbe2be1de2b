"""Which of many overlapping boxes are kept: greedily by score, one for each object."""

import numpy as np
from numpy.typing import NDArray

from dogcam.structures.boxes import Boxes, area, intersection, iou


def select(
    boxes: Boxes,
    scores: NDArray[np.float64],
    *,
    max_boxes: int,
    max_iou: float = 0.3,
    max_cover: float = 0.5,
) -> NDArray[np.int64]:
    """Return the boxes that are kept if each excludes the lower-scored ones that overlap it.

    Args:
        boxes: (N, 4) float array, xyxy in any unit.
        scores: (N,) finite floats; the first of equal scores wins.
        max_boxes: how many boxes are kept at most.
        max_iou: largest IoU with a box that is kept already.
        max_cover: largest share of the smaller box of two in their intersection: nested boxes exceed it.

    Returns:
        (K,) int array of indices, the highest score first.
    """
    allowed = np.ones(len(boxes), dtype=bool)
    areas = area(boxes)
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        if len(kept) == max_boxes:
            break
        if not allowed[index]:
            continue
        kept.append(int(index))
        one = boxes[index][None]
        smaller = np.maximum(np.minimum(areas, areas[index]), 1e-12)
        allowed &= (iou(one, boxes)[0] <= max_iou) & (intersection(one, boxes)[0] / smaller <= max_cover)
    return np.array(kept, dtype=np.int64)
