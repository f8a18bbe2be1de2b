"""The losses of a training: binary cross-entropy of the labels, and distillation of the prior head."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dogcam.network.heads import JointHead
from dogcam.train.fine_tuning import joint_head_of


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean binary cross-entropy over images and classes.

    Args:
        logits: (N, C) float32 tensor.
        labels: (N, C) float32 tensor in [0, 1].
    """
    return F.binary_cross_entropy_with_logits(logits, labels)


class Distillation:
    """The divergence of the prior head's outputs from those of the initial network (Hinton et al. 2015).

    Li and Hoiem (2017) train a network for new classes and keep the outputs of its old head constant, so that
    the features of the old classes are not lost.

    Args:
        network: a `pooled_network` with a `JointHead`; its current state is copied.

    Raises:
        ConfigError: if the network has no prior head.
    """

    def __init__(self, network: nn.Sequential) -> None:
        head = joint_head_of(network, "distillation")
        self.head = copy.deepcopy(head).eval()
        self.backbone = copy.deepcopy(network[:-1]).eval()

    def loss(self, batch: Tensor, pooled: Tensor, head: JointHead) -> Tensor:
        """Return KL(initial || current) of the prior head, estimated on every second image of a batch.

        The estimate is unbiased and takes half the time.

        Args:
            batch: (N, 3, H, W) input of the network.
            pooled: (N, C) pooled activations of the network in training.
            head: its head.
        """
        with torch.no_grad():
            before = self.head.prior.linear(self.backbone(batch[::2])).log_softmax(-1)
        now = head.prior.linear(pooled[::2]).log_softmax(-1)
        return F.kl_div(now, before, reduction="batchmean", log_target=True)
