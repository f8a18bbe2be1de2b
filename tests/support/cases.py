"""Generated evaluation cases: small coordinates and few scores, so that everything awkward happens often."""

import numpy as np
from hypothesis import strategies as st

from dogcam.structures.detections import Detections, GroundTruth

IOU_THRESHOLDS = (0.0, 0.25, 0.3, 0.5, 0.75)
SCORES = (0.1, 0.5, 0.5, 0.9, -2.0)


@st.composite
def cases(draw, max_detections=12):
    """Draw boxes with ties, duplicates, empty images, boxes without area or off the image."""
    n_images = draw(st.integers(1, 4))
    image, corner = st.integers(0, n_images - 1), st.integers(-2, 6)
    box = st.tuples(corner, corner, corner, corner).map(_mostly_upright)
    truth = draw(st.lists(st.tuples(image, box, st.booleans()), max_size=6))
    places = st.tuples(image, box)
    if truth:  # half of the detections sit exactly on a box, so that there are true positives and duplicates
        places |= st.sampled_from([row[:2] for row in truth])
    found = draw(st.lists(st.tuples(places, st.sampled_from(SCORES)), max_size=max_detections))
    return (
        GroundTruth(
            _ints([row[0] for row in truth]),
            np.array([row[1] for row in truth], dtype=float).reshape(-1, 4),
            np.array([row[2] for row in truth], dtype=bool),
            n_images,
        ),
        Detections(
            _ints([place[0] for place, _ in found]),
            np.array([place[1] for place, _ in found], dtype=float).reshape(-1, 4),
            np.array([score for _, score in found], dtype=float),
        ),
    )


def _mostly_upright(corners):
    """Turn most boxes the right way; those with a first corner of 6 stay as they are, inside out."""
    x0, y0, x1, y1 = corners
    return corners if x0 == 6 else (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))


def _ints(values):
    return np.array(values, dtype=np.int64)
