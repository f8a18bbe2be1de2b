"""Presets: their names, the published chain, and proposals on evidence and on rendered scenes."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import expit

from dogcam.cam import GradCam
from dogcam.data.sample import render_scene
from dogcam.detection import observer
from dogcam.detection.box_fit import FitRule
from dogcam.detection.boxes_from_maps import DEFAULT_RULE
from dogcam.detection.detector import Detector
from dogcam.detection.evidence import Evidence, View
from dogcam.detection.images import LoadedImage
from dogcam.detection.observer import Observer
from dogcam.detection.presets import PRESETS, detect_by_preset, find_preset, locator
from dogcam.detection.proposal_method import ProposalMethod
from dogcam.errors import ConfigError, ModelError
from dogcam.models.classifier import Classifier, load_classifier
from dogcam.models.two_scale import HighResolutionPass
from dogcam.structures.boxes import iou
from dogcam.structures.presets import PRESET_NAMES


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier("sample_net", device="cpu")


def scene_with_dogs(number: int):
    """Return the first rendered scene with that many dogs: its image and their boxes."""
    for index in range(200):
        scene = render_scene(2007, "train", index)
        boxes = [each.box for each in scene.objects if each.name == "dog"]
        if len(boxes) == number:
            return Image.fromarray(np.asarray(scene.image)), np.array(boxes, dtype=np.float64)
    raise AssertionError(f"no scene with {number} dogs")


def two_squares(logit: float) -> Evidence:
    """Return evidence of two squares of 32 pixels in an image of 128 x 64, seen at its own size."""
    logits = np.full((32, 64), -20.0, np.float32)
    logits[8:24, 4:20] = logits[8:24, 40:56] = 20.0
    maps = (logits > 0).astype(np.float32)
    return Evidence(logits, maps, logit, (0, 0, 128, 64), (64, 128), (1.0, 1.0), 2.0)


def test_every_object_gets_one_box():
    method = ProposalMethod(views=(View(1.0),), fit=FitRule(side=0.25), fit_exponent=1.0)
    boxes, scores = method.locate([two_squares(0.0)], (64, 128), side=128)
    assert len(boxes) == 2
    found = iou(boxes, np.array([[8, 16, 40, 48], [80, 16, 112, 48.0]]))
    assert (found.max(axis=0) > 0.85).all()
    # A fit near 1 for either map, times the probability of one half.
    products = scores / (1 - scores)
    assert products == pytest.approx([0.5, 0.5], abs=0.35) and products.min() > 0.4
    assert (np.diff(scores) <= 0).all()


def test_the_image_ranks_its_boxes():
    method = ProposalMethod(views=(View(1.0),))
    low = method.locate([two_squares(-3.0)], (64, 128), side=128)[1]
    high = method.locate([two_squares(-3.0), two_squares(3.0)], (64, 128), side=128)[1]
    odds = (high / (1 - high)) / (low / (1 - low))
    np.testing.assert_allclose(odds, (1 + np.exp(3)) / (1 + np.exp(-3)))


def test_the_score_is_the_calibrated_product():
    """Platt scaling, by SciPy's logistic function; an image of probability 0 scores 0."""
    plain = ProposalMethod(views=(View(1.0),), fit=FitRule(side=0.25, map_weight=0.0), fit_exponent=1.0)
    boxes, fits = plain.fitted([two_squares(1.0)], (64, 128), side=128)
    found, scores = replace(plain, calibration=(1.5, 2.0)).locate([two_squares(1.0)], (64, 128), side=128)
    np.testing.assert_array_equal(found, boxes)
    np.testing.assert_allclose(scores, expit(1.5 * np.log(expit(1.0) * fits) + 2))
    with np.errstate(over="ignore"):
        none = replace(plain, calibration=(1.5, 2.0)).locate([two_squares(-2000.0)], (64, 128), side=128)
    assert (none[1] == 0).all()


def test_a_larger_box_may_come_before_one_of_a_higher_fit():
    evidence = two_squares(0.0)
    evidence.logits[2:30, 40:62] = 20.0
    plain = ProposalMethod(views=(View(1.0),), fit=FitRule(side=0.25, map_weight=0.0), fit_exponent=1.0)
    boxes, fits = plain.fitted([evidence], (64, 128), side=128)
    found, scores = replace(plain, share_exponent=2.0).locate([evidence], (64, 128), side=128)
    shares = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) / (64 * 128)
    order = np.argsort(-shares)
    assert len(boxes) == 2 and order.tolist() == [1, 0], "the fit alone ranks them otherwise"
    np.testing.assert_array_equal(found, boxes[order])
    np.testing.assert_allclose(scores / (1 - scores), (0.5 * fits * shares**2)[order])


def test_further_views_are_made_above_the_gate(classifier):
    image, _ = scene_with_dogs(1)
    observer = Observer(classifier, ("dog",))
    logit = observer.evidence(image, View(1.0))[0].logit
    further = (View(1.5), View(1.0, mirrored=True))
    for gate, expected in ((logit - 0.1, 3), (logit + 0.1, 1)):
        method = ProposalMethod(views=(View(1.0),), further_views=further, gate_logit=gate)
        assert len(method.observe(partial(observer.evidence, image))[0]) == expected


@pytest.mark.slow
def test_the_published_preset_is_the_chain_of_the_detector(classifier):
    image, _ = scene_with_dogs(2)
    request = GradCam(classifier.target_layer)
    (expected,) = Detector(classifier, ("dog",), request, DEFAULT_RULE).run(image)
    [(boxes, scores)] = locator(find_preset("published"), classifier, ["dog"])(image)
    np.testing.assert_array_equal(boxes, expected.boxes)
    np.testing.assert_array_equal(scores, expected.scores)


@pytest.mark.slow
def test_the_published_preset_reads_files_as_the_detector_does(classifier, tmp_path):
    classifier = replace(classifier, high_resolution=HighResolutionPass((320, 320)))
    image, _ = scene_with_dogs(2)
    paths = [tmp_path / f"{number}.jpg" for number in range(3)]
    for number, path in enumerate(paths):
        # So large that the decoder shrinks it, less for the high-resolution pass than without.
        image.resize((1600 + 160 * number, 1280)).save(path)
    expected = list(find_preset("published").detector(classifier, ["dog"]).run(paths, batch_size=2))
    sizes = []
    hook = classifier.network.features.register_forward_pre_hook(
        lambda _, given: sizes.append(given[0].shape)
    )
    try:
        found = list(detect_by_preset(paths, classifier, ["dog"], "published", batch_size=2))
    finally:
        hook.remove()
    assert [tuple(shape) for shape in sizes] == [
        (2, 3, 160, 160), (2, 3, 320, 320), (1, 3, 160, 160), (1, 3, 320, 320),
    ]  # fmt: skip
    assert len(expected[0].boxes) > 0
    for each, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(each.boxes, other.boxes)
        np.testing.assert_array_equal(each.scores, other.scores)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fast", "best"])
def test_presets_find_a_rendered_dog(name, classifier):
    image, dogs = scene_with_dogs(1)
    [(boxes, scores)] = locator(find_preset(name), classifier, ["dog"])(image)
    assert len(boxes) == len(scores) <= PRESETS[name].max_boxes
    assert ((boxes[:, :2] >= 0) & (boxes[:, 2:] <= [image.width, image.height])).all()
    assert iou(boxes[:1], dogs).max() > 0.3


def test_fast_makes_one_forward_pass(classifier):
    image, _ = scene_with_dogs(1)
    observer = Observer(classifier, ("dog",))
    method = find_preset("fast")
    assert len(method.observe(partial(observer.evidence, image))[0]) == 1 and not method.further_views


def test_unknown_presets_and_heads_are_refused(classifier):
    with pytest.raises(ConfigError, match="fastest"):
        find_preset("fastest")
    with pytest.raises(ModelError, match="sample_net"):
        Observer(replace(classifier, head=None), ("dog",))


def test_a_method_needs_a_view():
    with pytest.raises(ValueError, match="views"):
        ProposalMethod(views=())


def test_the_names_are_those_of_the_settings():
    assert tuple(PRESETS) == PRESET_NAMES


@pytest.mark.slow
def test_the_boxes_of_a_class_do_not_depend_on_the_other_classes(classifier):
    image, _ = scene_with_dogs(1)
    together = locator(find_preset("best"), classifier, ["sofa", "dog"])(image)
    for found, name in zip(together, ("sofa", "dog"), strict=True):
        [(boxes, scores)] = locator(find_preset("best"), classifier, [name])(image)
        np.testing.assert_allclose(found[0], boxes, atol=1e-3)
        np.testing.assert_allclose(found[1], scores, atol=1e-5)


def test_the_gate_counts_for_each_class_by_itself():
    views = {
        View(1.0): (two_squares(-5.0), two_squares(1.0)),
        View(2.0): (two_squares(9.0), two_squares(9.0)),
    }
    method = ProposalMethod(views=(View(1.0),), further_views=(View(2.0),), gate_logit=-3.0)
    assert [len(each) for each in method.observe(views.__getitem__)] == [1, 2]


def test_behind_a_softmax_the_logit_is_the_log_odds(classifier):
    image, _ = scene_with_dogs(1)
    softmax = replace(classifier, activation="softmax")
    view = View(1.0, keep_aspect=False, dense=False)
    [found] = Observer(softmax, ("dog",)).evidence(image, view)
    with torch.inference_mode():
        p = classifier.network(classifier.batch([image])).softmax(1)[0, classifier.index_of("dog")].item()
    assert 1 / (1 + np.exp(-found.logit)) == pytest.approx(p, abs=1e-5)


def test_a_network_for_one_size_is_refused(classifier):
    class Fixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = classifier.network

        def forward(self, images):
            assert images.shape[2:] == (160, 160), "expected 160 x 160"
            return self.inner(images)

    fixed = replace(classifier, network=Fixed(), target_layer="inner.features.stage3", head="inner.head")
    with pytest.raises(ModelError, match="160 x 160"):
        locator(find_preset("best"), fixed, ["dog"])


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "told"), [("best", 1), ("published", 0)])
def test_a_network_that_cannot_be_dilated_is_reported_once(classifier, monkeypatch, caplog, preset, told):
    def refuse(*_):
        raise ModelError("a pooling layer of 77 channels")

    monkeypatch.setattr(observer, "without_last_stride", refuse)
    images = [scene_with_dogs(number)[0] for number in (1, 2)]
    assert len(list(detect_by_preset(images, classifier, ["dog"], preset))) == 2
    warnings = [each for each in caplog.messages if "sample_net" in each and "77 channels" in each]
    assert len(warnings) == told


def test_a_network_that_is_dilated_is_not_reported(classifier, caplog):
    list(detect_by_preset(scene_with_dogs(1)[0], classifier, ["dog"], "fast"))
    assert caplog.messages == []


def test_a_large_image_is_boxed_in_its_own_pixels(classifier):
    image, _ = scene_with_dogs(1)
    [small] = detect_by_preset(image, classifier, ["dog"], "fast")
    large = LoadedImage(image, (3 * image.height, 2 * image.width))
    [found] = detect_by_preset(large, classifier, ["dog"], "fast")
    np.testing.assert_allclose(found.boxes, small.boxes * [2, 3, 2, 3])
    assert found.size == large.size and found.labels == ["dog"] * len(small.boxes) and len(small.boxes)
