"""Published figures for dogs in the first 500 images of VOC2007 test, to put a result beside.

They are facts about other people's programs, in fractions; the two centre boxes are computed again by the
tests, digit by digit.
"""

from report.record import PublishedRow

IOU_THRESHOLDS = (0.3, 0.4, 0.5)
"""Where they were measured, in the order of each row."""

PUBLISHED = [
    PublishedRow(
        method="centerbox",
        title="CENTERBOX",
        ap=[0.0420689, 0.02199484, 0.01471604],
        recall=[0.60, 0.44, 0.34],
        ties="introsort",
    ),
    PublishedRow(
        method="cheating_centerbox",
        title="CHEATING CENTERBOX",
        ap=[0.45328972, 0.2449676, 0.14515679],
        recall=[0.60, 0.44, 0.34],
        ties="introsort",
    ),
    PublishedRow(
        method="centerbox",
        title="CENTERBOX",
        ap=[0.04843234, 0.02913754, 0.02265914],
        recall=[0.60, 0.44, 0.34],
        ties="stable",
    ),
    PublishedRow(
        method="cheating_centerbox",
        title="CHEATING CENTERBOX",
        ap=[0.46442448, 0.25954001, 0.18201394],
        recall=[0.60, 0.44, 0.34],
        ties="stable",
    ),
    PublishedRow(
        method="grad_cam",
        title="a simple Grad-CAM solution",
        ap=[0.48805799, 0.43845483, 0.214125],
        recall=[0.58, 0.54, 0.34],
        ties=None,
    ),
]
