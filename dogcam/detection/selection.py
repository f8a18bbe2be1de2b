"""Which of many overlapping boxes are kept, one for each object, and the mean of those that agree."""

import numpy as np
from numpy.typing import NDArray

from dogcam.structures.boxes import Boxes, area, as_boxes, intersection, iou


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


def voted(
    boxes: Boxes, fits: NDArray[np.float64], kept: NDArray[np.int64], *, min_iou: float, sharpness: float
) -> Boxes:
    """Return each kept box as the mean of the boxes that overlap it, weighted by their fits.

    The weight of box j in the mean for box k is exp(sharpness (fit_j - fit_k)) (box voting, Gidaris &
    Komodakis 2015, with the fit in place of a trained score).

    Args:
        boxes: (N, 4) float array, xyxy in any unit.
        fits: (N,) floats.
        kept: (K,) int array of indices.
        min_iou: least IoU of a box that takes part, in (0, 1]; 1 leaves the kept boxes as they are.
        sharpness: at least 0; 0 gives all boxes equal weight.

    Returns:
        (K, 4) float64 array.
    """
    overlaps = iou(boxes[kept], boxes)
    weights = np.where(overlaps >= min_iou, np.exp(sharpness * (fits[None, :] - fits[kept, None])), 0.0)
    # A box without area does not overlap even itself.
    weights[np.arange(len(kept)), kept] = 1.0
    return as_boxes(weights @ boxes / weights.sum(axis=1, keepdims=True))
