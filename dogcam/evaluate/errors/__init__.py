"""Why detections fail and objects are missed: one kind for each, and what mending a kind would be worth."""

from dogcam.evaluate.errors.kinds import (
    FAILURE_TYPES,
    Failure,
    FailureType,
    OtherObjects,
    Success,
    TypeCount,
    count_types,
)
from dogcam.evaluate.errors.oracle import Gain, ap_gains, mend
from dogcam.evaluate.errors.rules import classify_failures, find_successes, other_object

__all__ = [
    "FAILURE_TYPES",
    "Failure",
    "FailureType",
    "Gain",
    "OtherObjects",
    "Success",
    "TypeCount",
    "ap_gains",
    "classify_failures",
    "count_types",
    "find_successes",
    "mend",
    "other_object",
]
