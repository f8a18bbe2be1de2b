"""The ways to make boxes that a report compares: kinds of map at two layers, and baselines."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from dogcam.cam import Cam, GradCam, GradCamPlusPlus, HiResCam, LayerCam, Request
from dogcam.models.classifier import Classifier
from dogcam.structures.presets import PresetName
from report.config import REFERENCE, RunConfig


@dataclass(frozen=True)
class MethodText:
    """What a method is called in the record and in the report."""

    name: str
    title: str
    description: str
    kind: Literal["map", "baseline", "preset"]


GRAD_CAM = "grad_cam"
GRAD_CAM_REFERENCE = "grad_cam_reference"
CAM = "cam"
PROBABILITY = "grad_cam_probability"
EARLIER = "grad_cam_earlier"
HIRES = "hires_cam_earlier"
LAYER = "layer_cam_earlier"
PLUS_PLUS = "grad_cam_plus_plus_earlier"

PUBLISHED: PresetName = "published"
"""The preset that the others are compared with."""

METHODS = {
    method.name: method
    for method in (
        MethodText(GRAD_CAM, "Grad-CAM", "gradient of the logit, target layer", "map"),
        MethodText(GRAD_CAM_REFERENCE, "Grad-CAM in PyTorch", "the same, without the backend", "map"),
        MethodText(CAM, "CAM", "weights of the head, target layer", "map"),
        MethodText(PROBABILITY, "Grad-CAM (sigmoid gradient)", "gradient of the probability", "map"),
        MethodText(EARLIER, "Grad-CAM, earlier layer", "gradient averaged per channel", "map"),
        MethodText(HIRES, "HiResCAM, earlier layer", "activation times gradient at each position", "map"),
        MethodText(LAYER, "LayerCAM, earlier layer", "the same with positive gradients only", "map"),
        MethodText(PLUS_PLUS, "Grad-CAM++, earlier layer", "weighted mean of positive gradients", "map"),
        MethodText(
            "centerbox", "Centre box, constant score", "centred, half of the image area, score 1", "baseline"
        ),
        MethodText(
            "cheating_centerbox", "Centre box, oracle labels", "the same, only on images with a target",
            "baseline",
        ),
        MethodText(
            "centerbox_scored", "Centre box × classifier",
            "the same box, scored by the image probability", "baseline",
        ),
        MethodText(
            "full_image", "Whole image × classifier", "the whole image, scored by the image probability",
            "baseline",
        ),
        MethodText(PUBLISHED, "Preset published", "Grad-CAM, threshold 0.3, every component", "preset"),
        MethodText("fast", "Preset fast", "nested proposals of one dense view", "preset"),
        MethodText(
            "best", "Preset best", "nested proposals of several views, mean of those that overlap", "preset"
        ),
    )
}  # fmt: skip

RULE_OF = {
    GRAD_CAM: GRAD_CAM, GRAD_CAM_REFERENCE: GRAD_CAM, CAM: GRAD_CAM, PROBABILITY: GRAD_CAM,
    EARLIER: EARLIER, HIRES: HIRES, LAYER: LAYER, PLUS_PLUS: PLUS_PLUS,
}  # fmt: skip
"""The method whose localisation rule a map method uses. Methods whose maps are equal by theory share a rule,
and so a threshold. At the earlier layer maps differ, and each method has its own rule."""

AT_EARLIER = (HIRES, LAYER, PLUS_PLUS)
"""The methods that are compared with Grad-CAM at the earlier layer; no two of them are equal there."""

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


def _is_used(config: RunConfig, method: MethodText) -> bool:
    if method.kind == "preset":
        return method.name in config.presets
    return method.name != GRAD_CAM_REFERENCE or config.backend != REFERENCE


def requests(classifier: Classifier) -> dict[str, Request]:
    """Return the request to the reference implementation for each of its maps."""
    earlier = classifier.earlier_layer
    assert earlier is not None, "classifiers without an earlier layer are refused before"
    return {
        GRAD_CAM: GradCam(classifier.target_layer),
        CAM: Cam(classifier.target_layer, classifier.head),
        PROBABILITY: GradCam(classifier.target_layer, classifier.activation),
        EARLIER: GradCam(earlier),
        HIRES: HiResCam(earlier),
        LAYER: LayerCam(earlier),
        PLUS_PLUS: GradCamPlusPlus(earlier),
    }
