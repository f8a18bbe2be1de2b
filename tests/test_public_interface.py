"""The public functions: their examples run, and every kind of image gives the same answer."""

import doctest
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import dogcam
from dogcam.errors import ConfigError, DataError, ModelError

FUNCTIONS = [getattr(dogcam, name) for name in dogcam.__all__]


@pytest.fixture(scope="module")
def classifier():
    return dogcam.load_classifier("sample_net", device="cpu")


@pytest.fixture(scope="module")
def array():
    return np.random.default_rng(7).integers(0, 256, (60, 80, 3), dtype=np.uint8)


@pytest.mark.parametrize("function", FUNCTIONS, ids=dogcam.__all__)
def test_the_example_of_a_docstring_runs(function):
    (example,) = doctest.DocTestFinder(recurse=False).find(function, function.__name__, globs={})
    runner = doctest.DocTestRunner()
    assert runner.run(example).failed == 0 < len(example.examples)


def test_importing_dogcam_imports_no_torch():
    code = "import sys, dogcam; dogcam.detect; print({'torch', 'numpy'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stderr


def test_detect_stays_a_function_after_it_was_called(classifier, array):
    for _ in range(2):
        dogcam.detect(array, classifier)
    assert callable(dogcam.detect) and callable(dogcam.explain)


def test_every_kind_of_image_gives_the_same_result(classifier, array, tmp_path):
    image = Image.fromarray(array)
    image.save(tmp_path / "image.png")
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    forms = [
        array, array / 255, image, str(tmp_path / "image.png"), tmp_path / "image.png", tensor, tensor / 255
    ]  # fmt: skip
    results = [dogcam.explain(form, classifier, "dog")[0] for form in forms]
    for each in results[1:]:
        assert (each.maps == results[0].maps).all() and (each.boxes == results[0].boxes).all()
        assert each.size == (60, 80)


def test_a_batch_is_read_as_its_images(classifier, array):
    both = np.stack([array, array[::-1]])
    tensors = torch.from_numpy(both).permute(0, 3, 1, 2)
    expected = [dogcam.detect(each, classifier)[0] for each in both]
    for form in (both, tensors, list(both), iter(list(both))):
        found = dogcam.detect(form, classifier, batch_size=2)
        for each, wanted in zip(found, expected, strict=True):
            assert each.boxes == pytest.approx(wanted.boxes)
            assert each.scores == pytest.approx(wanted.scores, rel=1e-4)


def test_boxes_below_the_score_threshold_are_left_out(classifier, array):
    (everything,) = dogcam.detect(array, classifier)
    middle = float(np.median(everything.scores))
    (some,) = dogcam.detect(array, classifier, score_threshold=middle)
    assert some.scores.tolist() == [score for score in everything.scores if score >= middle]
    assert len(some.labels) == len(some.boxes) == len(some.scores)


@pytest.mark.parametrize(
    ("image", "value"),
    [
        (np.zeros((4, 5, 2), np.uint8), "(4, 5, 2)"),
        (np.zeros((0, 5, 3), np.uint8), "(0, 5, 3)"),
        (np.full((4, 5, 3), 2.5), "2.5"),
        (np.full((4, 5, 3), np.nan), "nan"),
        (np.full((4, 5, 3), 300, np.int32), "300"),
        (torch.zeros(4, 5, 3), "(4, 5, 3)"),
        ("missing.jpg", "missing.jpg"),
    ],
)
def test_what_is_no_image_is_refused_by_what_was_found(classifier, image, value):
    with pytest.raises(DataError) as refused:
        dogcam.detect(image, classifier)
    assert value in str(refused.value)


def test_unknown_names_are_refused(classifier, array):
    with pytest.raises(ModelError, match="'unicorn'"):
        dogcam.detect(array, classifier, "unicorn")
    with pytest.raises(ConfigError, match="'magic'"):
        dogcam.explain(array, classifier, method="magic")
    with pytest.raises(ValueError, match="2 images"):
        dogcam.evaluate_boxes([[], []], [[]], [[]])


@pytest.mark.slow
def test_the_outputs_of_imagenet_are_pooled_or_kept():
    pooled = dogcam.load_classifier("efficientnet_lite0", device="cpu", pools=["pet=281-285,151-268"])
    plain = dogcam.load_classifier("efficientnet_lite0", device="cpu", pools=["none"])
    assert (pooled.classes, pooled.activation) == (("pet",), "sigmoid")
    assert (len(plain.classes), plain.activation, plain.classes[281]) == (1000, "softmax", "tabby")
    batch = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        of_pool = pooled.probabilities(pooled.network(batch))
        of_all = plain.probabilities(plain.network(batch))
    assert of_all.sum(axis=1) == pytest.approx([1, 1])
    expected = of_all[:, 281:286].sum(axis=1) + of_all[:, 151:269].sum(axis=1)
    assert of_pool[:, 0] == pytest.approx(expected, rel=1e-4)
