"""Does a map depend on what the network learned? Checks after Adebayo et al. 2018 and Petsiuk et al. 2018.

The pass limits are constants of this module. A check passes only if the full confidence interval of the mean
meets its limit.
"""

from dogcam.evaluate.sanity.insertion_deletion import (
    ORDERS,
    Order,
    auc,
    blurred,
    probabilities_during,
    removal_orders,
)
from dogcam.evaluate.sanity.permuted import activation_maps, fit_linear_map, maps_of
from dogcam.evaluate.sanity.randomised import Cascade, layers_as_they_run
from dogcam.evaluate.sanity.similarity import spearman, ssim

MOST_SIMILARITY = 0.5
"""The similarity of maps of a randomised network to the original maps, in rank correlation and in structure,
must be below this in absolute value (an inverted map is not unrelated)."""

LEAST_DIFFERENCE = 0.0
"""Least gain of the order of the map over random and centred orders, and of its box over the centre box."""

__all__ = [
    "LEAST_DIFFERENCE",
    "MOST_SIMILARITY",
    "ORDERS",
    "Cascade",
    "Order",
    "activation_maps",
    "auc",
    "blurred",
    "fit_linear_map",
    "layers_as_they_run",
    "maps_of",
    "probabilities_during",
    "removal_orders",
    "spearman",
    "ssim",
]  # fmt: skip
