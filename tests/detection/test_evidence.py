"""Views of an image: sizes, evidence at positions, and its place on the grid."""

import numpy as np
import pytest
import torch
from PIL import Image

from dogcam.detection.evidence import Evidence, Grid, Observer, View
from dogcam.models.classifier import load_classifier
from dogcam.network.hooks import capture


@pytest.fixture(scope="module")
def observer() -> Observer:
    return Observer(load_classifier("sample_net", device="cpu"), "dog")


@pytest.fixture(scope="module")
def image() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 130, 3), dtype=np.uint8))


def test_sizes_keep_the_aspect_ratio_up_to_the_stride():
    assert View(1.25).input_size((375, 500), 256, 32) == (256, 320)
    assert View(1.75).input_size((500, 333), 256, 32) == (448, 288)
    assert View(1, keep_aspect=False).input_size((100, 500), 256, 32) == (256, 256)
    # Never fewer than two positions of the last layer.
    assert View(1.25).input_size((20, 500), 256, 32) == (64, 320)


def test_a_scale_must_be_positive():
    with pytest.raises(ValueError, match="0"):
        View(0.0)


def test_evidence_of_a_plain_view_is_the_head_at_each_position(observer, image):
    found = observer.evidence(image, View(1, keep_aspect=False, dense=False))
    classifier = observer.classifier
    batch = classifier.batch([image])
    with torch.no_grad(), capture(classifier.network, [classifier.target_layer]) as activations:
        logit = classifier.network(batch)[0, observer.index].item()
    maps = activations[classifier.target_layer][0]
    head = classifier.network.head
    expected = torch.einsum("chw,c->hw", maps, head.weight[observer.index]) + head.bias[observer.index]
    np.testing.assert_allclose(found.values, expected.detach().numpy(), atol=1e-4)
    assert found.logit == pytest.approx(logit, abs=1e-4)
    assert (found.offset, found.step, observer.stride) == ((8.0, 8.0), 16.0, 16)


def test_dense_views_hold_the_plain_ones(observer, image):
    plain = observer.evidence(image, View(0.8, dense=False))
    dense = observer.evidence(image, View(0.8, dense=True))
    np.testing.assert_allclose(dense.values[::2, ::2], plain.values, atol=1e-4)
    assert dense.logit == pytest.approx(plain.logit, abs=1e-4)
    assert (dense.step, dense.offset, plain.offset) == (8.0, (8.0, 8.0), (8.0, 8.0))


def test_a_mirrored_view_mirrors_its_map_and_its_positions(observer, image):
    turned = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    mirrored = observer.evidence(image, View(0.8, mirrored=True))
    plain = observer.evidence(turned, View(0.8))
    np.testing.assert_allclose(mirrored.values, plain.values[:, ::-1], atol=1e-5)
    width, n = mirrored.input_size[1], mirrored.values.shape[1]
    # The centre of position q mirrors that of position n - 1 - q.
    assert mirrored.offset[1] == width - (plain.offset[1] + (n - 1) * plain.step)


def test_the_grid_interpolates_between_positions():
    values = np.add.outer(10.0 * np.arange(4), np.arange(8)).astype(np.float32)
    evidence = Evidence(values, 0.0, (0, 0, 80, 40), (64, 128), (8.0, 8.0), 16.0)
    grid = Grid((40, 80), side=16)
    assert grid.shape == (8, 16)
    found = grid.resample(evidence)
    # The centre of cell c is at 8 (c + 0.5) pixels of the input; positions are 16 apart, from 8 on.
    rows = np.clip(((np.arange(8) + 0.5) * 8 - 8) / 16, 0, 3)
    columns = np.clip(((np.arange(16) + 0.5) * 8 - 8) / 16, 0, 7)
    np.testing.assert_allclose(found, np.add.outer(10 * rows, columns), atol=1e-5)
    assert grid.to_pixels(np.array([[0, 0, 16, 8.0]])).tolist() == [[0, 0, 80, 40]]


def test_a_window_is_placed_where_it_was_taken():
    values = np.zeros((2, 2), np.float32)
    values[1, 1] = 1.0
    evidence = Evidence(values, 0.0, (40, 20, 80, 60), (32, 32), (8.0, 8.0), 16.0)
    assert evidence.magnification == 0.8
    peak = np.unravel_index(Grid((80, 80), side=16).resample(evidence).argmax(), (16, 16))
    # The last position is centred at 24 / 32 of the window: x = 70, y = 50 pixels of 80, cells of 5.
    assert peak == (10, 14) or Grid((80, 80), side=16).resample(evidence)[10, 14] == 1.0
