"""Box proposals: the connected components of maps at many thresholds, nested in each other."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dogcam.structures.boxes import Boxes, area, as_boxes

_EIGHT_NEIGHBOURS = np.ones((3, 3))


def component_boxes(map_: NDArray[np.floating], threshold: float) -> Boxes:
    """Return the tight box of every connected component of the cells that reach a threshold.

    Args:
        map_: (rows, columns) float array.
        threshold: least value of a cell that belongs to a component; cells touch at sides and corners.

    Returns:
        (N, 4) float64 array, half-open xyxy in cells; (0, 4) if no cell reaches the threshold.
    """
    labels, _ = ndimage.label(map_ >= threshold, structure=_EIGHT_NEIGHBOURS)
    return as_boxes([(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(labels)])


def nested_boxes(
    maps: Iterable[NDArray[np.floating]], thresholds: Sequence[float], min_area: float = 9.0
) -> Boxes:
    """Return the boxes of the components of several maps at several thresholds, each box once.

    The components of one map at all thresholds form a tree: a component at a higher threshold lies inside
    one at a lower threshold. The order is that of the coordinates and carries no meaning.

    Args:
        maps: (rows, columns) float arrays on one grid.
        thresholds: in the unit of the maps.
        min_area: least area of a box in square cells.

    Returns:
        (N, 4) float64 array, half-open xyxy in cells.
    """
    found = [component_boxes(map_, threshold) for map_ in maps for threshold in thresholds]
    boxes = as_boxes(np.concatenate(found)) if found else as_boxes([])
    return np.unique(boxes[area(boxes) >= min_area], axis=0)
