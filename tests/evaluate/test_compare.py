"""Comparing two classifiers: equal ones do not differ, and what finds nothing is worse."""

import json
from itertools import cycle, islice

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from dogcam.cam import GradCam
from dogcam.cli.main import main
from dogcam.data.images import read_pixels
from dogcam.data.reading import read_split
from dogcam.detection.boxes_from_maps import LocalisationRule
from dogcam.detection.detector import Detector, detections_of
from dogcam.errors import DataError, ModelError
from dogcam.evaluate.compare import Ranking, compare_boxes, compare_rankings
from dogcam.evaluate.metrics import Resampler
from dogcam.models.classifier import SAMPLE_WEIGHTS, Classifier
from dogcam.models.networks import pooled_network
from dogcam.models.preprocessing import Preprocessing
from dogcam.structures.detections import Detections
from tests.support.runs import assert_one_line
from tests.support.voc_folders import write_patches

RULE = LocalisationRule(0.5)
DRAWN = Resampler(12, 200)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    kinds = {"val": list(islice(cycle([["red"], ["blue"], ["red"], []]), 12))}
    return read_split(write_patches(tmp_path_factory.mktemp("data"), kinds), "val")


def redness(sign: float = 1.0) -> Classifier:
    """A classifier whose one map is how much redder than blue a pixel is: it boxes red patches exactly."""
    features = nn.Conv2d(3, 1, 1)
    with torch.no_grad():
        features.weight.copy_(torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1))
        features.bias.fill_(0.0)
    network = pooled_network(nn.Sequential(features, nn.ReLU()), nn.Linear(1, 1))
    with torch.no_grad():
        network.head.weight.fill_(sign * 40)
        network.head.bias.zero_()
    preprocessing = Preprocessing((24, 36), (0.0,) * 3, (1.0,) * 3)
    layers = ("features", "features.0", "head")
    return Classifier("red", network.eval(), ("red",), preprocessing, *layers, "made by hand", "sigmoid")


def detect(classifier: Classifier, split, target: str = "red", batch_size: int = 16) -> Detections:
    detector = Detector(classifier, (target,), GradCam(classifier.target_layer), RULE)
    return detections_of(detector.run((read_pixels(image) for image in split.images), batch_size), target)


def boxes_of_truth(split) -> Detections:
    boxes = [image.boxes_of("red") for image in split.images]
    return Detections.from_images(boxes, [[1.0] * len(each) for each in boxes])


def test_a_map_of_redness_boxes_red_patches_as_well_as_the_truth(split):
    found = detect(redness(), split, batch_size=5)
    rows = compare_boxes(split.images, "red", found, boxes_of_truth(split), (0.3, 0.5), DRAWN)
    assert list(rows) == [0.3, 0.5]
    for row in rows.values():
        assert row.ap > 0.95 and row.other_ap == 1.0
        assert row.interval.low <= row.difference <= row.interval.high


def test_what_finds_nothing_is_worse_by_the_whole_average_precision(split):
    nothing = detect(redness(-1.0), split)
    assert len(nothing.boxes) == 0
    row = compare_boxes(split.images, "red", nothing, boxes_of_truth(split), (0.5,), DRAWN)[0.5]
    assert (row.ap, row.other_ap, row.difference) == (0.0, 1.0, -1.0)
    assert (row.interval.low, row.interval.high) == (-1.0, -1.0)


def test_a_class_that_nobody_knows_or_shows_is_refused(split):
    with pytest.raises(ModelError, match=r"'dog'.* red"):
        detect(redness(), split, "dog")
    with pytest.raises(DataError, match=r"12 .*dog"):
        compare_boxes(split.images, "dog", boxes_of_truth(split), boxes_of_truth(split), (0.5,), DRAWN)


def random_ranking(classes, seed: int) -> Ranking:
    return Ranking(classes, torch.randn(12, len(classes), generator=torch.Generator().manual_seed(seed)))


@pytest.mark.slow
def test_rankings_are_compared_by_the_classes_that_both_know(split):
    from sklearn.metrics import average_precision_score

    first, second = random_ranking(("blue", "green", "red"), 0), random_ranking(("red", "dog", "blue"), 1)
    ranking = compare_rankings(split.images, first, second, Resampler(12, 400, seed=3))
    draws = image_draws_of(12, 400, seed=3)
    expected = {}
    for name in ("blue", "red"):
        labels = np.array([name in image.labels for image in split.images])
        scores = [each.scores[:, each.classes.index(name)].numpy() for each in (first, second)]
        aps = [average_precision_score(labels, each) for each in scores]
        drawn = [
            np.subtract(*(average_precision_score(labels[chosen], each[chosen]) for each in scores))
            if labels[chosen].any() else np.nan
            for chosen in draws
        ]  # fmt: skip
        expected[name] = (aps, drawn)
    both = [each for each, _ in expected.values()], [each for _, each in expected.values()]
    assert list(ranking.classes) == list(expected)
    mean = (np.mean(both[0], axis=0), np.nanmean(both[1], axis=0))
    rows = [*ranking.classes.values(), ranking.mean]
    for row, (aps, drawn) in zip(rows, [*expected.values(), mean], strict=True):
        assert (row.ap, row.other_ap) == pytest.approx(aps)
        assert (row.interval.low, row.interval.high) == pytest.approx(np.nanquantile(drawn, [0.025, 0.975]))


@pytest.mark.filterwarnings("error")
def test_a_resample_without_the_class_is_left_out_in_silence(split):
    only = split.images[0]
    images = [only, *(image for image in split.images if "red" not in image.labels)]
    pair = [
        Ranking(("red",), each.scores[: len(images), :1])
        for each in (random_ranking(("red", "blue"), 0), random_ranking(("red", "blue"), 1))
    ]
    ranking = compare_rankings(images, *pair, Resampler(len(images), 100))
    red, mean = ranking.classes["red"], ranking.mean
    assert (mean.ap, mean.other_ap, mean.interval) == (red.ap, red.other_ap, red.interval)
    assert np.isfinite([red.interval.low, red.interval.high]).all()


def image_draws_of(n: int, n_resamples: int, seed: int) -> list[np.ndarray]:
    """The images of each resample, one by one, in place of how often each is drawn."""
    counts = np.concatenate(list(Resampler(n, n_resamples, seed=seed).draws()), axis=1)
    return [np.repeat(np.arange(n), column) for column in counts.T.astype(int)]


def options(split, *more):
    models = ("--model", "sample_net", "--other-model", "sample_net")
    given = ("compare-classifiers", "--data", split.root, *models)
    return [str(each) for each in (*given, "--other-checkpoint", SAMPLE_WEIGHTS, "--device", "cpu", *more)]


@pytest.mark.slow
def test_a_network_does_not_differ_from_itself(split):
    # The sample's network knows dogs alone; the patches are called so for once.
    for path in (split.root / "Annotations").glob("*.xml"):
        path.write_text(path.read_text().replace("<name>red<", "<name>dog<"))
    result = CliRunner().invoke(main, options(split, "--json", "--resamples", 100))
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    ranking = found["ranking"]
    assert [row["iou_threshold"] for row in found["boxes"]] == [0.3, 0.4, 0.5]
    assert [row["name"] for row in ranking["classes"]] == ["dog"]
    for row in [*found["boxes"], *ranking["classes"], ranking["mean"]]:
        assert row["difference"] == row["interval"]["low"] == row["interval"]["high"] == 0
    table = CliRunner().invoke(main, options(split, "--resamples", 100)).stdout
    assert "+0.0000 to +0.0000" in table and "12 images, 6 with the class dog" in table
    described = "sample_net at 160 x 160 pixels, "
    assert f"first: {described}trained by dogcam on the rendered sample, sha256 " in table
    assert f"second: {described}checkpoint sample_net.safetensors, sha256 " in table
    assert found["first"]["weights_sha256"] == found["second"]["weights_sha256"]
    assert (found["first"]["input_size"], found["first"]["high_resolution_pass"]) == ([160, 160], None)
    manifest = read_split(split.root, "val").manifest
    assert found["data"] == {"split": "val", "n_images": 12, "manifest": manifest}


@pytest.mark.parametrize("cut", [0, 1, 1.5, "nan"])
def test_a_cut_that_cannot_be_is_refused(split, cut):
    result = CliRunner().invoke(main, options(split, "--cam-threshold", cut))
    assert result.exit_code == 2 and "--cam-threshold" in result.stderr


def test_a_checkpoint_that_names_its_network_needs_no_model(split):
    only = ("compare-classifiers", "--data", split.root, "--target", "blue", "--checkpoint", SAMPLE_WEIGHTS)
    result = CliRunner().invoke(main, [*map(str, only), "--other-checkpoint", str(SAMPLE_WEIGHTS)])
    assert_one_line(result, 1, "sample_net has no class 'blue'")
    assert_one_line(CliRunner().invoke(main, [*map(str, only)]), 1, "no model is given")


def test_what_cannot_be_compared_is_refused_before_a_photograph_is_looked_at(split, monkeypatch):
    monkeypatch.setattr("dogcam.cli.compare.Detector", lambda *_: pytest.fail("a network ran"))
    assert_one_line(CliRunner().invoke(main, options(split, "--target", "horse")), 1, "shows a horse")
    missing = options(split, "--target", "blue", "--checkpoint", SAMPLE_WEIGHTS.with_name("none.safetensors"))
    assert_one_line(CliRunner().invoke(main, missing), 1, "none.safetensors cannot be read")
