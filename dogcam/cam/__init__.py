"""Class activation maps: where in the picture a network finds what speaks for a class.

One interface serves all methods: `explain` takes a network, a batch, target classes and any number of
requests, each a method at a layer, and makes the maps of all of them from one forward pass (the two methods
that perturb the network need more). What each method computes stands in the docstring of its request.

Guided backpropagation, guided Grad-CAM and deconvolution are left out on purpose. They change the backward
pass of every ReLU, and what they show is much the same picture when the weights are drawn at random anew
(Adebayo et al. 2018, Sanity Checks for Saliency Maps): edges of the image, not what the network learned.
Plain gradients and Grad-CAM pass that check.
"""

from dogcam.cam.class_map import Cam
from dogcam.cam.eigen import EigenCam
from dogcam.cam.engine import Explanation, Request
from dogcam.cam.gradients import GradCam, GradCamPlusPlus, HiResCam, LayerCam, Score, XGradCam
from dogcam.cam.perturbation import AblationCam, ScoreCam
from dogcam.cam.shortcuts import cam, grad_cam
from dogcam.cam.views import Views, explain

METHODS: dict[str, type[Request]] = {
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
"""Every method by its name; each can be made from the name of a layer alone."""

__all__ = [
    "METHODS", "AblationCam", "Cam", "EigenCam", "Explanation", "GradCam", "GradCamPlusPlus", "HiResCam",
    "LayerCam", "Request", "Score", "ScoreCam", "Views", "XGradCam", "cam", "explain", "grad_cam",
]  # fmt: skip
