"""Heat maps in the size of their images: those of the target that several stages read are made once."""

from dogcam.detection.boxes_from_maps import Map, heat_map
from report.pipeline.context import Context
from report.pipeline.methods import MAIN
from report.pipeline.shared.predictions import predictions

MOST_BYTES = 2**28
"""Heat maps that are kept; those of further images are made again."""


def heat_of(context: Context, role: str, method: str, place: int, target: str | None = None) -> Map:
    """Return the heat map of an image.

    Args:
        context: after the stage `predict`.
        role: `reported` or `tuning`.
        method: a map method.
        place: the index of the image in its split.
        target: the class; None for the target of the run.

    Returns:
        (height, width) float32 array in [0, 1]; read-only.
    """
    predicted = predictions(context, role)
    name = target or context.config.target
    key = ("heat map", id(predicted), method, place, name)
    if key in context.memo:
        return context.memo[key]
    heat = heat_map(predicted.maps_of(name, method)[place], context.splits[role].images[place].size)
    kept = context.once(("heat maps",), lambda: [0])
    if method == MAIN and name == context.config.target and kept[0] + heat.nbytes <= MOST_BYTES:
        kept[0] += heat.nbytes
        heat.flags.writeable = False
        context.memo[key] = heat
    return heat
