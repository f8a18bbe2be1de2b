"""Why detections fail and objects are missed: one kind for each, and what mending a kind would be worth."""

from dogcam.evaluate.errors.kinds import (
    FAILURE_KINDS,
    Failure,
    FailureKind,
    KindCount,
    OtherObjects,
    Success,
    count_kinds,
)
from dogcam.evaluate.errors.oracle import Gain, ap_gains, mend
from dogcam.evaluate.errors.rules import classify_failures, find_successes, look_alike

__all__ = [
    "FAILURE_KINDS",
    "Failure",
    "FailureKind",
    "Gain",
    "KindCount",
    "OtherObjects",
    "Success",
    "ap_gains",
    "classify_failures",
    "count_kinds",
    "find_successes",
    "look_alike",
    "mend",
]
