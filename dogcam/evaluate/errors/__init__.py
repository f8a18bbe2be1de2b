"""The failure type of every false positive and missed object, and the AP gain if each type were fixed."""

from dogcam.evaluate.errors.oracle import Gain, ap_gains, fix
from dogcam.evaluate.errors.rules import classify_failures, find_successes, other_object
from dogcam.evaluate.errors.types import (
    FAILURE_TYPES,
    Failure,
    FailureType,
    OtherObjects,
    Success,
    TypeCount,
    count_types,
)

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
    "fix",
    "other_object",
]
