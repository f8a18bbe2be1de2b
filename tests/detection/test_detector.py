"""The chain on large images: decoded small, drawn on a bounded map, boxed in pixels of the image."""

import numpy as np
import pytest
import torch
from PIL import Image

import dogcam
from dogcam.cam import GradCam
from dogcam.detection import detector
from dogcam.detection.boxes_from_maps import LocalisationRule, heat_map, localise, localise_maps
from dogcam.detection.detector import MOST_SIDE, Detector, ImageResult, predict
from dogcam.detection.images import load_image
from dogcam.models.networks import sample_net
from dogcam.models.preprocessing import Preprocessing
from dogcam.models.two_scale import HighResolutionPass

RULE = LocalisationRule(0.5)


def patch(size: tuple[int, int]) -> np.ndarray:
    map_ = np.zeros(size, dtype=np.float32)
    map_[2:5, 1:3] = 1.0
    return map_


@pytest.mark.slow
@pytest.mark.parametrize("size", [(6000, 8000), (8000, 500), (375, 500)])
def test_a_heat_map_is_bounded_and_the_boxes_are_not(size):
    logits, probabilities = np.zeros(1, np.float32), np.array([0.7])
    located = tuple(localise_maps([patch((8, 8))], size, [0.7], [[RULE]])[0])
    found = ImageResult(size, ("dog",), located, logits, probabilities, patch((8, 8))[None])
    height, width = found.heat_map("dog").shape
    assert max(height, width) == min(max(size), MOST_SIDE)
    expected, _ = localise(heat_map(patch((8, 8)), size), 0.7, RULE)
    assert (found.boxes == expected).all() and found.labels == ["dog"]


@pytest.mark.slow
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_decoded_small_and_boxed_in_its_own_pixels(tmp_path, orientation):
    path, exif = tmp_path / "large.jpg", Image.Exif()
    exif[0x0112] = orientation
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    small.resize((4000, 3000)).save(path, exif=exif)
    loaded = load_image(path, 320)
    # A quarter of 3000 and an eighth: 375 is the smallest that is no less than 320.
    assert sorted(loaded.pixels.size) == [375, 500]
    assert loaded.size == ((3000, 4000) if orientation == 1 else (4000, 3000))
    classifier = dogcam.load_classifier("sample_net", device="cpu")
    detector = Detector(classifier, ("dog",), GradCam(classifier.target_layer), RULE)
    assert detector.least_side == 320
    (found,) = detector.run(path)
    (whole,) = detector.run(load_image(path))
    assert found.size == whole.size and found.boxes[:, 2:].max() > 500
    assert found.probabilities == pytest.approx(whole.probabilities, rel=0.05)
    assert len(found.boxes) == len(whole.boxes)


def test_a_prediction_without_requests_is_the_network():
    classifier = dogcam.load_classifier("sample_net", device="cpu")
    images = [Image.new("RGB", (30, 20), colour) for colour in ("red", "white")]
    found = predict(classifier.network, images, classifier.preprocessing)
    with torch.no_grad():
        expected = classifier.network(classifier.batch(images))
    assert torch.equal(found.logits, expected) and found.maps == () and found.high_resolution is None


def test_a_batch_that_does_not_fit_into_memory_gives_the_same_in_halves(monkeypatch):
    torch.manual_seed(0)
    network = sample_net(3).eval()
    images = [Image.new("RGB", (40, 30), (60 * n, 99, 255 - 60 * n)) for n in range(5)]
    arguments = (Preprocessing((32, 32)), HighResolutionPass((64, 64), 0.5), [1], [GradCam("features")])
    whole = detector.predict(network, images, *arguments)
    run, sizes = detector._predict, []

    def small_memory(network, images, *more):
        if len(images) > 2:
            raise MemoryError
        sizes.append(len(images))
        return run(network, images, *more)

    monkeypatch.setattr(detector, "_predict", small_memory)
    halved = detector.predict(network, images, *arguments)
    assert sizes == [2, 1, 2]
    for mine, theirs in zip(
        (halved.batch, halved.logits, *halved.maps, halved.high_resolution),
        (whole.batch, whole.logits, *whole.maps, whole.high_resolution),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)
