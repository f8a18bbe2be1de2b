"""Does a map depend on what the network learned? Checks after Adebayo et al. 2018 and Petsiuk et al. 2018.

The marks that a network's maps must meet stand here, set before any run was looked at. Each is met only if
the whole interval of the measured mean lies on the right side.
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
"""Maps of a network that knows nothing must be less similar than this to the trained network's, in rank
correlation and in structure; one half is where two maps still share most of what they show."""

LEAST_DIFFERENCE = 0.0
"""What the order of the map must gain over a random and a centred one, and its box over the centre box, each
in its own measure."""

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
