"""Published figures for dogs in the first 500 images of VOC2007 test, for comparison with a result.

They belong to other programs and are fractions. The tests reproduce the centre boxes to the last digit.
"""

from report.record import PublishedRow

IOU_THRESHOLDS = (0.3, 0.4, 0.5)
"""The IoU thresholds of the published figures, in the order of each row."""

_CENTRE_RECALL = [0.60, 0.44, 0.34]

PUBLISHED = [
    PublishedRow(method=method, title=title, ap=ap, recall=recall, ties=ties)
    for method, title, ap, recall, ties in (
        ("centerbox", "CENTERBOX", [0.0420689, 0.02199484, 0.01471604], _CENTRE_RECALL, "introsort"),
        ("cheating_centerbox", "CHEATING CENTERBOX", [0.45328972, 0.2449676, 0.14515679], _CENTRE_RECALL,
         "introsort"),
        ("centerbox", "CENTERBOX", [0.04843234, 0.02913754, 0.02265914], _CENTRE_RECALL, "stable"),
        ("cheating_centerbox", "CHEATING CENTERBOX", [0.46442448, 0.25954001, 0.18201394], _CENTRE_RECALL,
         "stable"),
        ("grad_cam", "a simple Grad-CAM solution", [0.48805799, 0.43845483, 0.214125], [0.58, 0.54, 0.34],
         None),
    )
]  # fmt: skip
