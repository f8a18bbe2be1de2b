"""The loss of a localiser, against torchvision's IoU and GIoU."""

import pytest
import torch
from torchvision.ops import box_iou, generalized_box_iou

from dogcam.train.localiser.loss import localiser_loss


def random_boxes(n: int, generator: torch.Generator) -> torch.Tensor:
    low = torch.rand(n, 2, generator=generator) * 10
    return torch.cat([low, low + 0.5 + torch.rand(n, 2, generator=generator) * 8], dim=1)


def test_the_loss_is_the_weighted_mean_of_its_parts():
    generator = torch.Generator().manual_seed(3)
    boxes, targets = random_boxes(12, generator), random_boxes(12, generator)
    weights, logits = torch.rand(12, generator=generator), torch.randn(12, generator=generator)
    loss, iou = localiser_loss(
        boxes.view(1, 3, 4, 4), logits.view(1, 3, 4), targets.view(1, 3, 4, 4), weights.view(1, 3, 4)
    )
    overlaps = box_iou(boxes, targets).diagonal()
    giou = generalized_box_iou(boxes, targets).diagonal()
    probability = logits.sigmoid()
    entropy = -overlaps * probability.log() - (1 - overlaps) * (1 - probability).log()
    expected = (weights * (1 - giou + entropy)).sum() / weights.sum()
    assert float(loss) == pytest.approx(float(expected), rel=1e-4)
    assert float(iou) == pytest.approx(float((weights * overlaps).sum() / weights.sum()), rel=1e-4)


def test_only_weighted_positions_count():
    boxes, targets = torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 2, 4)
    boxes[..., 2:] = targets[..., 2:] = 4.0
    targets[0, 0, 1] = torch.tensor([50.0, 50.0, 60.0, 60.0])
    weights = torch.tensor([[[1.0, 0.0]]])
    loss, iou = localiser_loss(boxes, torch.full((1, 1, 2), 30.0), targets, weights)
    assert float(loss) == pytest.approx(0.0, abs=1e-6) and float(iou) == pytest.approx(1.0)
