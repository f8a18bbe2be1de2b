"""CAM and Grad-CAM as plain functions."""

from torch import Tensor, nn

from dogcam.cam.class_map import Cam
from dogcam.cam.gradients import GradCam, Score
from dogcam.cam.targets import Targets
from dogcam.cam.views import explain


def grad_cam(
    network: nn.Module, images: Tensor, targets: Targets, layer: str, score: Score = "logit"
) -> Tensor:
    """Compute Grad-CAM, the equations of `GradCam`.

    Args:
        network, images, targets: as for `explain`.
        layer, score: as for `GradCam`.

    Returns:
        (N, K, h, w) float tensor, >= 0; all 0 if nothing supports the class.
    """
    return explain(network, images, targets, [GradCam(layer, score)]).maps[0]


def cam(network: nn.Module, images: Tensor, targets: Targets, layer: str, head: str | None = None) -> Tensor:
    """Compute CAM, the equation of `Cam`.

    Args:
        network, images, targets: as for `explain`.
        layer, head: as for `Cam`.

    Returns:
        (N, K, h, w) float tensor; the mean of a map is the logit without the bias of a linear head.

    Raises:
        ModelError: if the network does not end in global average pooling and the head, verified on the batch.
    """
    return explain(network, images, targets, [Cam(layer, head)]).maps[0]
