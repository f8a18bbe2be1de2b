"""Classification: average precision of a ranking, and the logits of a split."""

import pytest
import torch

from dogcam.data.images import read_pixels
from dogcam.data.reading import read_split
from dogcam.evaluate.classification import class_ap, predict
from tests.support.training import KINDS, PREPROCESSING, make_network
from tests.support.voc_folders import write_patches


def test_average_precision_of_a_hand_computed_ranking():
    labels = torch.tensor([[1, 0], [0, 0], [1, 0], [0, 0]])
    scores = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    assert class_ap(labels, scores, ("red", "blue")) == {"red": pytest.approx((1 + 2 / 3) / 2)}


def test_predictions_are_those_of_single_images(tmp_path):
    images = read_split(write_patches(tmp_path, {"val": KINDS * 3}), "val").images
    network = make_network().train()
    logits = predict(network, images, PREPROCESSING, batch_size=5)
    assert network.training
    network.eval()
    singly = torch.cat([network(PREPROCESSING([read_pixels(image)])) for image in images])
    assert torch.allclose(logits, singly, atol=1e-5)
