"""Compute class activation maps: the image regions that support a class.

`explain` serves all methods. It takes a network, a batch, target classes and any number of requests, each a
method at a layer. All maps come from one forward pass; the two methods that perturb the network need more.
The docstring of each request states its equation.

Guided backpropagation, guided Grad-CAM and deconvolution are left out on purpose. They change the backward
pass of every ReLU. Their maps hardly change when the weights are randomised (Adebayo et al. 2018, Sanity
Checks for Saliency Maps): they show edges of the image, not what the network learned. Plain gradients and
Grad-CAM pass that check.
"""

from collections.abc import Callable

from dogcam.cam.class_map import Cam
from dogcam.cam.eigen import EigenCam
from dogcam.cam.engine import Explanation, OfClasses, Request, explain
from dogcam.cam.gradients import GradCam, GradCamPlusPlus, HiResCam, LayerCam, Score, XGradCam
from dogcam.cam.perturbation import AblationCam, ScoreCam
from dogcam.cam.views import Views

METHODS: dict[str, Callable[[str], Request]] = {
    "grad_cam": GradCam,
    "cam": Cam,
    "grad_cam_plus_plus": GradCamPlusPlus,
    "hires_cam": HiResCam,
    "layer_cam": LayerCam,
    "xgrad_cam": XGradCam,
    "score_cam": ScoreCam,
    "ablation_cam": AblationCam,
    "eigen_cam": EigenCam,
}
"""All methods by name; each takes the name of a layer as its only required argument."""

__all__ = [
    "METHODS", "AblationCam", "Cam", "EigenCam", "Explanation", "GradCam", "GradCamPlusPlus", "HiResCam",
    "LayerCam", "OfClasses", "Request", "Score", "ScoreCam", "Views", "XGradCam", "explain",
]  # fmt: skip
