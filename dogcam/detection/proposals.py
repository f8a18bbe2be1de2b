"""Box proposals: the connected components of maps at many thresholds, nested in each other."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from dogcam.detection.boxes_from_maps import components_of_heat
from dogcam.structures.boxes import Boxes, area, as_boxes


def nested_boxes(
    maps: Iterable[NDArray[np.float32]], thresholds: Sequence[float], min_area: float = 9.0
) -> Boxes:
    """Return the boxes of the components of several maps at several thresholds, each box once.

    The components of one map at all thresholds form a tree: a component at a higher threshold lies inside
    one at a lower threshold. The order is that of the coordinates and carries no meaning.

    Args:
        maps: (rows, columns) float32 arrays on one grid.
        thresholds: in the unit of the maps.
        min_area: least area of a box in square cells.

    Returns:
        (N, 4) float64 array, half-open xyxy in cells.
    """
    found = [components_of_heat(map_, thresholds).boxes for map_ in maps]
    boxes = as_boxes(np.concatenate(found)) if found else as_boxes([])
    return np.unique(boxes[area(boxes) >= min_area], axis=0)
