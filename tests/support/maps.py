"""One map of one method, for tests that want no more."""

from dogcam.cam import Cam, GradCam, explain


def grad_cam(network, images, targets, layer, score="logit"):
    return explain(network, images, targets, [GradCam(layer, score)]).maps[0]


def cam(network, images, targets, layer, head=None):
    return explain(network, images, targets, [Cam(layer, head)]).maps[0]
