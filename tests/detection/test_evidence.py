"""Views of an image: sizes, evidence at positions, and its place on the grid."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from dogcam.data.sample import CLASSES
from dogcam.detection.evidence import Evidence, Grid, View
from dogcam.detection.observer import Observer
from dogcam.errors import ModelError
from dogcam.models.classifier import Classifier, load_classifier
from dogcam.models.preprocessing import Preprocessing
from dogcam.network.hooks import capture

INDEX = CLASSES.index("dog")


@pytest.fixture(scope="module")
def observer() -> Observer:
    return Observer(load_classifier("sample_net", device="cpu"), ("dog",))


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
    found = observer.evidence(image, View(1, keep_aspect=False, dense=False))[0]
    classifier = observer.classifier
    batch = classifier.batch([image])
    with torch.no_grad(), capture(classifier.network, [classifier.target_layer]) as activations:
        logit = classifier.network(batch)[0, INDEX].item()
    maps = activations[classifier.target_layer][0]
    head = classifier.network.head
    expected = torch.einsum("chw,c->hw", maps, head.weight[INDEX]) + head.bias[INDEX]
    np.testing.assert_allclose(found.logits, expected.detach().numpy(), atol=1e-4)
    assert found.logit == pytest.approx(logit, abs=1e-4)
    assert (found.offset, found.step, observer.stride) == ((8.0, 8.0), 16.0, 16)


def test_dense_views_hold_the_plain_ones(observer, image):
    plain = observer.evidence(image, View(0.8, dense=False))[0]
    dense = observer.evidence(image, View(0.8, dense=True))[0]
    np.testing.assert_allclose(dense.logits[::2, ::2], plain.logits, atol=1e-4)
    assert dense.logit == pytest.approx(plain.logit, abs=1e-4)
    assert (dense.step, dense.offset, plain.offset) == (8.0, (8.0, 8.0), (8.0, 8.0))


@pytest.mark.parametrize("side", [128, 130, 136, 143])
def test_an_input_that_is_no_multiple_of_the_stride_is_rounded_to_one(observer, image, side):
    """Such as 260 of EfficientNet-Lite2 or 300 of EfficientNet-B3, with a stride of 32."""
    other = replace(
        observer.classifier, preprocessing=replace(observer.classifier.preprocessing, size=(side, side))
    )
    found = Observer(other, ("dog",))
    assert (found.stride, found.side) == (16, side)
    evidence = found.evidence(image, View(1, keep_aspect=False))[0]
    assert found.dense_fault is None
    assert evidence.input_size == (16 * round(side / 16),) * 2 and evidence.step == 8.0


def test_positions_that_do_not_grow_with_the_input_are_refused(observer):
    network = deepcopy(observer.classifier.network)
    network.features.append(nn.AdaptiveAvgPool2d(7))
    other = replace(observer.classifier, network=network, target_layer="features.4")
    with pytest.raises(ModelError, match=r"7 rows .*'features\.4'.* 416 rows.*published"):
        Observer(other, ("dog",))


def test_a_mirrored_view_mirrors_its_map_and_its_positions(observer, image):
    turned = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    mirrored = observer.evidence(image, View(0.8, mirrored=True))[0]
    plain = observer.evidence(turned, View(0.8))[0]
    np.testing.assert_allclose(mirrored.logits, plain.logits[:, ::-1], atol=1e-5)
    width, n = mirrored.input_size[1], mirrored.logits.shape[1]
    # The centre of position q mirrors that of position n - 1 - q.
    assert mirrored.offset[1] == width - (plain.offset[1] + (n - 1) * plain.step)


def test_the_class_map_is_the_logit_without_the_bias(observer, image):
    found = observer.evidence(image, View(1.0))[0]
    bias = observer.classifier.network.head.bias[INDEX].item()
    np.testing.assert_allclose(found.class_map, found.logits - bias, atol=1e-4)


def evidence_of(values: np.ndarray, window: tuple, input_size: tuple) -> Evidence:
    return Evidence(values, values, 0.0, window, input_size, (8.0, 8.0), 16.0)


def test_the_grid_interpolates_between_positions():
    values = np.add.outer(10.0 * np.arange(4), np.arange(8)).astype(np.float32)
    evidence = evidence_of(values, (0, 0, 80, 40), (64, 128))
    grid = Grid((40, 80), side=16)
    assert grid.shape == (8, 16)
    # The centre of cell c is at 8 (c + 0.5) pixels of the input; positions are 16 apart, from 8 on.
    rows = np.clip(((np.arange(8) + 0.5) * 8 - 8) / 16, 0, 3)
    columns = np.clip(((np.arange(16) + 0.5) * 8 - 8) / 16, 0, 7)
    expected = np.add.outer(10 * rows, columns)
    np.testing.assert_allclose(grid.logits(evidence), expected, atol=1e-5)
    np.testing.assert_allclose(grid.class_map(evidence), expected / expected.max(), atol=1e-6)
    assert grid.to_pixels(np.array([[0, 0, 16, 8.0]])).tolist() == [[0, 0, 80, 40]]


def test_a_map_that_is_nowhere_positive_is_zero():
    evidence = evidence_of(np.full((2, 2), -1.0, np.float32), (0, 0, 32, 32), (32, 32))
    assert not Grid((32, 32), side=8).class_map(evidence).any()


def test_a_window_is_placed_where_it_was_taken():
    values = np.zeros((2, 2), np.float32)
    values[1, 1] = 1.0
    evidence = evidence_of(values, (40, 20, 80, 60), (32, 32))
    assert evidence.magnification == 0.8
    # The last position is centred at 24 / 32 of the window: x = 70, y = 50 pixels, in cells of 5 pixels.
    found = Grid((80, 80), side=16).logits(evidence)
    assert found[10, 14] == 1.0
    # Half a step to the upper left, between all four positions, a quarter is left: cell (8, 12).
    assert found[:8].max() < 0.5


class WithExcitation(nn.Module):
    """A convolution of stride 2 whose maps are scaled by their mean: dilation would change the mean."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(6, 8, 3, 2, 1)
        self.excite, self.target, self.head = (
            nn.Conv2d(8, 8, 1),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.Linear(8, 2),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.last(self.first(images).relu())
        maps = maps * self.excite(maps.square().mean(dim=(2, 3), keepdim=True)).sigmoid()
        return self.head(self.target(maps).mean(dim=(2, 3)))


def test_a_network_that_cannot_be_dilated_makes_plain_views(image):
    classifier = Classifier("excited", WithExcitation().eval(), ("cat", "dog"), Preprocessing((32, 32)),
                            "target", None, "head", "random", "sigmoid")  # fmt: skip
    observer = Observer(classifier, ("dog",))
    [dense], [plain] = (observer.evidence(image, View(2.0, dense=each)) for each in (True, False))
    np.testing.assert_array_equal(dense.logits, plain.logits)
    assert (dense.logit, dense.offset, dense.step) == (plain.logit, plain.offset, plain.step)
    assert "target" in observer.dense_fault or "reduction" in observer.dense_fault
