"""The ways to make boxes that a report compares: kinds of map at two layers, and baselines."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

from dogcam.cam import Cam, GradCam, GradCamPlusPlus, HiResCam, LayerCam, Request
from dogcam.models.classifier import Classifier
from dogcam.structures.defaults import CAM_THRESHOLD
from dogcam.structures.presets import PUBLISHED
from report.config import REFERENCE, RunConfig


@dataclass(frozen=True)
class Method:
    """A way to make boxes.

    Attributes:
        name: its key in the record.
        title, description: its texts in the report.
        kind: whether its boxes follow from a map, from no map, or from a detection preset.
        colour: index of the colour of its lines in all figures; baselines share `SLATE`.
        dash: index of the dash of its lines.
        make: makes the request for its map to the reference implementation; None if it has none.
        rule: the method whose localisation rule it uses; None for its own. Methods whose maps are equal by
            theory share a rule, and so a threshold.
        at_earlier: whether its map is compared with Grad-CAM at the earlier layer; no two of these maps are
            equal, so each of these methods has its own rule.
    """

    name: str
    title: str
    description: str
    kind: Literal["map", "baseline", "preset"]
    colour: int
    dash: int
    make: Callable[[Classifier], Request] | None = None
    rule: str | None = None
    at_earlier: bool = False


def _earlier(classifier: Classifier) -> str:
    assert classifier.earlier_layer is not None, "classifiers without an earlier layer are refused before"
    return classifier.earlier_layer


BLUE, ORANGE, GREEN, PURPLE, BROWN, SLATE = range(6)
"""Indices of the colours of the figures."""

GRAD_CAM = "grad_cam"
GRAD_CAM_REFERENCE = "grad_cam_reference"
CAM = "cam"
PROBABILITY = "grad_cam_probability"
EARLIER = "grad_cam_earlier"

METHODS = {
    method.name: method
    for method in (
        Method(
            GRAD_CAM, "Grad-CAM", "gradient of the logit, target layer", "map", BLUE, 0,
            make=lambda classifier: GradCam(classifier.target_layer),
        ),
        Method(
            GRAD_CAM_REFERENCE, "Grad-CAM in PyTorch", "the same, without the backend", "map", BLUE, 3,
            rule=GRAD_CAM,
        ),
        Method(
            CAM, "CAM", "weights of the head, target layer", "map", BLUE, 1, rule=GRAD_CAM,
            make=lambda classifier: Cam(classifier.target_layer, classifier.head),
        ),
        Method(
            PROBABILITY, "Grad-CAM (sigmoid gradient)", "gradient of the probability", "map", BLUE, 2,
            rule=GRAD_CAM, make=lambda classifier: GradCam(classifier.target_layer, classifier.activation),
        ),
        Method(
            EARLIER, "Grad-CAM, earlier layer", "gradient averaged per channel", "map", PURPLE, 1,
            make=lambda classifier: GradCam(_earlier(classifier)),
        ),
        Method(
            "hires_cam_earlier", "HiResCAM, earlier layer", "activation times gradient at each position",
            "map", ORANGE, 3, at_earlier=True, make=lambda classifier: HiResCam(_earlier(classifier)),
        ),
        Method(
            "layer_cam_earlier", "LayerCAM, earlier layer",
            "activation times positive gradient at each position", "map", GREEN, 2, at_earlier=True,
            make=lambda classifier: LayerCam(_earlier(classifier)),
        ),
        Method(
            "grad_cam_plus_plus_earlier", "Grad-CAM++, earlier layer", "weighted mean of positive gradients",
            "map", BROWN, 4, at_earlier=True, make=lambda classifier: GradCamPlusPlus(_earlier(classifier)),
        ),
        Method(
            "centerbox", "Centre box, constant score", "centred, half of the image area, score 1",
            "baseline", SLATE, 4,
        ),
        Method(
            "cheating_centerbox", "Centre box, oracle labels", "the same, only on images with a target",
            "baseline", SLATE, 1,
        ),
        Method(
            "centerbox_scored", "Centre box × classifier",
            "the same box, scored by the image probability", "baseline", SLATE, 0,
        ),
        Method(
            "full_image", "Whole image × classifier", "the whole image, scored by the image probability",
            "baseline", SLATE, 2,
        ),
        Method(
            PUBLISHED, "Preset published", f"Grad-CAM, threshold {CAM_THRESHOLD:g}, every component",
            "preset", BROWN, 2,
        ),
        Method("fast", "Preset fast", "nested proposals of one dense view", "preset", GREEN, 0),
        Method(
            "best", "Preset best", "nested proposals of several views, mean of those that overlap",
            "preset", ORANGE, 0,
        ),
        Method(
            "localiser", "Preset localiser",
            "nested proposals, ranked by a localiser trained on pseudo-boxes", "preset", PURPLE, 0,
        ),
    )
}  # fmt: skip

RULE_OF = {method.name: method.rule or method.name for method in METHODS.values() if method.kind == "map"}
"""The method whose localisation rule each map method uses."""

AT_EARLIER = tuple(method.name for method in METHODS.values() if method.at_earlier)
"""The methods that are compared with Grad-CAM at the earlier layer."""

MAIN = GRAD_CAM
"""The method whose operating point, failures and claims the report is about."""


def has_linear_head(classifier: Classifier) -> bool:
    """Return whether the head is one linear layer, for which CAM is defined."""
    name = classifier.head
    if name is None:
        return False
    head = classifier.network.get_submodule(name)
    return getattr(type(head), "forward", None) is nn.Linear.forward


def title_of(name: str, classifier: Classifier) -> str:
    """Return the title of a method; behind a head that is not linear, CAM uses the head's derivative."""
    title = METHODS[name].title
    return f"{title} (linearised head)" if name == CAM and not has_linear_head(classifier) else title


def in_use(config: RunConfig, kind: str | None = None) -> tuple[str, ...]:
    """Return the methods of a run, of one kind or all.

    The map of the reference implementation is a method of its own if a backend computes the main map. Presets
    are those that are asked for.
    """
    wanted = (method for method in METHODS.values() if kind in (None, method.kind))
    return tuple(method.name for method in wanted if _is_used(config, method))


def _is_used(config: RunConfig, method: Method) -> bool:
    if method.kind == "preset":
        return method.name in config.presets
    return method.name != GRAD_CAM_REFERENCE or config.backend != REFERENCE


def requests(classifier: Classifier) -> dict[str, Request]:
    """Return the request to the reference implementation for each of its maps."""
    return {method.name: method.make(classifier) for method in METHODS.values() if method.make}
