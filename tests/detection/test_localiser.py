"""The localiser: its boxes in pixels, its file, and the detections that follow from its boxes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from dogcam.detection.evidence import Evidence, RegressedBoxes, View
from dogcam.detection.localiser import (
    Localiser,
    LocaliserNetwork,
    load_localiser,
    stacked,
    with_regressed,
)
from dogcam.detection.localiser_method import LocaliserMethod
from dogcam.detection.observer import Observer
from dogcam.detection.presets import find_preset, locator
from dogcam.errors import ModelError
from dogcam.models.checkpoints import save_checkpoint
from dogcam.models.classifier import Classifier, load_classifier
from dogcam.structures.boxes import iou
from tests.support.localisers import localiser_for


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier("sample_net", device="cpu")


def noise(width: int, height: int) -> Image.Image:
    generator = np.random.default_rng(1)
    return Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))


def evidence_of(logits: np.ndarray, window, size, offset, step) -> Evidence:
    logits = logits.astype(np.float32)
    return Evidence(logits, logits, 1.0, window, size, offset, step)


def test_boxes_are_in_pixels_of_the_image(classifier, monkeypatch):
    localiser = localiser_for(classifier)
    # A view of 64 x 96 pixels of a window of 32 x 48 pixels: half a pixel of the image for one of the input.
    found = evidence_of(np.zeros((4, 6)), (10.0, 20.0, 58.0, 52.0), (64, 96), (8.0, 8.0), 16.0)
    boxes = torch.tensor([[-1.0, -1.0, 1.5, 2.0]] * 24).reshape(1, 4, 6, 4)
    boxes = boxes + torch.tensor([1.0, 1.0, 1.0, 1.0])
    overlaps = torch.linspace(0.9, 0.1, 24).reshape(1, 4, 6)
    monkeypatch.setattr(Localiser, "regress", lambda self, activations, evidence: (boxes, overlaps))
    [shown] = with_regressed([found], torch.zeros(1, 4, 6), localiser)
    # Position 0 is at 8 input pixels, which is 4 pixels of the image; positions are 8 pixels apart.
    expected = [10 + 4 + 8 * 0, 20 + 4 + 8 * 0, 10 + 4 + 8 * 2.5, 20 + 4 + 8 * 3]
    np.testing.assert_allclose(shown.regressed.boxes[0], expected)
    np.testing.assert_allclose(shown.regressed.overlaps, np.linspace(0.9, 0.1, 24), rtol=1e-5)


def test_boxes_outside_the_window_are_clipped_and_empty_ones_are_left_out(classifier, monkeypatch):
    found = evidence_of(np.zeros((1, 2)), (0.0, 0.0, 32.0, 16.0), (16, 32), (8.0, 8.0), 16.0)
    boxes = torch.tensor([[-9.0, -9.0, 9.0, 9.0], [7.0, 7.0, 8.0, 8.0]]).reshape(1, 1, 2, 4)
    monkeypatch.setattr(
        Localiser, "regress", lambda self, activations, evidence: (boxes, torch.full((1, 1, 2), 0.5))
    )
    [shown] = with_regressed([found], torch.zeros(1, 1, 2), localiser_for(classifier))
    assert shown.regressed.boxes.tolist() == [[0.0, 0.0, 32.0, 16.0]]


def test_each_box_contains_its_position():
    torch.manual_seed(0)
    network = LocaliserNetwork(5, 3, 8).eval()
    torch.nn.init.normal_(network.distances.weight)
    boxes, logits = network(torch.randn(2, 3, 4, 7), torch.rand(2, 1, 4, 7))
    assert boxes.shape == (2, 4, 7, 4) and logits.shape == (2, 4, 7)
    y, x = torch.meshgrid(torch.arange(4.0), torch.arange(7.0), indexing="ij")
    assert (boxes[..., 0] < x).all() and (boxes[..., 2] > x).all()
    assert (boxes[..., 1] < y).all() and (boxes[..., 3] > y).all()


def test_finer_layers_are_interpolated_to_the_positions_of_the_last():
    fine = torch.arange(16.0).reshape(1, 4, 4)
    maps = stacked([fine, torch.zeros(2, 2, 2)])
    assert maps.shape == (3, 2, 2)
    np.testing.assert_allclose(maps[0], [[2.5, 4.5], [10.5, 12.5]])


@pytest.mark.slow
def test_a_file_is_read_as_it_was_written(classifier, tmp_path):
    localiser, path = localiser_for(classifier), tmp_path / "localiser.safetensors"
    localiser.save(path)
    again = load_localiser(path, classifier)
    assert again.card == localiser.card and not again.network.training
    image, find = noise(120, 90), find_preset("localiser")
    results = [locator(find, classifier, ["dog", "cat"], each)(image) for each in (localiser, again)]
    for (boxes, scores), (others, other_scores) in zip(*results, strict=True):
        np.testing.assert_array_equal(boxes, others)
        np.testing.assert_array_equal(scores, other_scores)
        assert len(boxes) and (np.diff(scores) <= 0).all()
        assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= [120, 90]).all()


def test_other_files_and_other_classifiers_are_refused(classifier, tmp_path):
    path = tmp_path / "localiser.safetensors"
    localiser = localiser_for(classifier)
    localiser.save(path)
    other = load_classifier("sample_net", device="cpu")
    with torch.no_grad():
        next(other.network.parameters()).add_(1.0)
    with pytest.raises(ModelError, match="another classifier"):
        load_localiser(path, other)
    save_checkpoint(path, classifier.network.state_dict(), {"kind": "classifier"}, card_file=False)
    with pytest.raises(ModelError, match=path.name):
        load_localiser(path, classifier)


@pytest.mark.parametrize(
    "fault",
    [
        {"width": "8"}, {"width": 10**9}, {"width": 12}, {"width": 0}, {"components": -1}, {"channels": None},
        {"layers": 3}, {"layers": []}, {"layers": ["features.stage3", "features.stage2"]}, {"training": []},
    ],
    ids=str,
)  # fmt: skip
def test_a_card_with_a_fault_is_refused(classifier, tmp_path, fault):
    """Written with a right checksum, as by another program."""
    path, localiser = tmp_path / "localiser.safetensors", localiser_for(classifier)
    card = {"kind": "localiser", **vars(localiser.card), **fault}
    save_checkpoint(path, localiser.network.state_dict(), card, card_file=False)
    with pytest.raises(ModelError, match=path.name):
        load_localiser(path, classifier)


@pytest.mark.parametrize("layers", [["features.stage3"], ["nowhere", "features.stage3"]], ids=str)
def test_layers_with_other_activations_are_refused(classifier, tmp_path, layers):
    path, localiser = tmp_path / "localiser.safetensors", localiser_for(classifier)
    card = {"kind": "localiser", **vars(localiser.card), "layers": layers}
    save_checkpoint(path, localiser.network.state_dict(), card, card_file=False)
    with pytest.raises(ModelError, match=layers[0]):
        locator(find_preset("localiser"), classifier, ["dog"], load_localiser(path, classifier))(
            noise(99, 99)
        )


@pytest.mark.parametrize(("old", "new"), [(b"stage2", b"stage1"), (b"seal", b"sea1")], ids=["layer", "seal"])
def test_a_changed_card_is_refused(classifier, tmp_path, old, new):
    path = tmp_path / "localiser.safetensors"
    localiser_for(classifier).save(path)
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    with pytest.raises(ModelError, match=path.name):
        load_localiser(path, classifier)


def test_a_view_that_asks_for_boxes_needs_a_localiser(classifier):
    with pytest.raises(ModelError, match="train-localiser"):
        locator(find_preset("localiser"), classifier, ["dog"])


def test_views_without_boxes_do_not_run_the_localiser(classifier, monkeypatch):
    observer = Observer(classifier, ("dog",), localiser_for(classifier))
    monkeypatch.setattr(Localiser, "regress", None)
    [found] = observer.evidence(noise(96, 96), View(1.0))
    assert found.regressed is None


def supported_by(regressed: RegressedBoxes, **numbers) -> tuple[LocaliserMethod, Evidence]:
    """A method, and the evidence for an object with a strong and a weak part, in 128 x 64 pixels."""
    logits = np.full((8, 16), -6.0)
    logits[2:6, 2:5], logits[2:6, 5:12] = 3.0, 1.0
    window, size, first = (0.0, 0.0, 128.0, 64.0), (64, 128), (4.0, 4.0)
    evidence = replace(evidence_of(logits, window, size, first, 8.0), regressed=regressed)
    return LocaliserMethod((View(1.0, regressed=True),), **numbers), evidence


def test_the_rank_of_a_proposal_is_its_fit_times_its_support():
    """Against a loop over all pairs of proposals and regressed boxes."""
    regressed = RegressedBoxes(
        np.array([[18.0, 16, 42, 48], [14.0, 14, 98, 50], [20.0, 18, 44, 46]]),
        np.array([0.8, 0.4, 0.5], np.float32), np.array([4.0, -1.0, 2.0], np.float32),
    )  # fmt: skip
    method, evidence = supported_by(
        regressed, midpoint=1.0, overlap_exponent=2.0, iou_exponent=3.0, supporters=2, fit_exponent=0.5,
        vote_iou=1.0, max_boxes=1, share_exponent=0.0,
    )  # fmt: skip
    grid, cells, fits = method.proposed([evidence], (64, 128), 128)
    ranks = []
    for proposal, fit in zip(grid.to_pixels(cells), fits, strict=True):
        support = []
        for box, overlap, logit in zip(regressed.boxes, regressed.overlaps, regressed.logits, strict=True):
            width, height = (min(proposal[k + 2], box[k + 2]) - max(proposal[k], box[k]) for k in (0, 1))
            shared = max(width, 0) * max(height, 0)
            union = sum((each[2] - each[0]) * (each[3] - each[1]) for each in (proposal, box)) - shared
            support.append(float(overlap) ** 2 / (1 + np.exp(1 - float(logit))) * (shared / union) ** 3)
        ranks.append(fit**0.5 * sum(sorted(support)[-2:]) / 2)
    [box], [score] = method.locate([evidence], (64, 128), 128)
    assert len(ranks) > 2
    np.testing.assert_allclose(box, grid.to_pixels(cells)[np.argmax(ranks)])
    product = max(ranks) / (1 + np.exp(-1.0))
    np.testing.assert_allclose(score, product / (1 + product), rtol=1e-6)


@pytest.mark.parametrize("box", [[16.0, 16, 40, 48], [16.0, 16, 96, 48]], ids=["narrow", "wide"])
def test_the_localiser_decides_between_nested_proposals(box):
    sure = RegressedBoxes(np.array([box]), np.ones(1, np.float32), np.full(1, 9.0, np.float32))
    method, evidence = supported_by(sure, vote_iou=1.0)
    boxes, _ = method.locate([evidence], (64, 128), 128)
    np.testing.assert_allclose(boxes[0], box, atol=6)


def test_votes_are_weighted_by_the_ranks():
    sure = RegressedBoxes(np.array([[16.0, 16, 40, 48]]), np.ones(1, np.float32), np.full(1, 9.0, np.float32))
    method, evidence = supported_by(sure, vote_iou=0.01, vote_sharpness=2.0, max_boxes=1, iou_exponent=1.0)
    grid, cells, fits = method.proposed([evidence], (64, 128), 128)
    proposals = grid.to_pixels(cells)
    overlaps = iou(sure.boxes, proposals)[0]
    ranks = fits**method.fit_exponent * overlaps / (1 + np.exp(1 - 9.0))
    near = iou(proposals[ranks.argmax()][None], proposals)[0] >= 0.01
    expected = np.average(proposals[near], axis=0, weights=ranks[near] ** 2)
    [box], _ = method.locate([evidence], (64, 128), 128)
    np.testing.assert_allclose(box, expected, rtol=1e-6)


def test_without_a_regressed_box_nothing_is_supported():
    """Boxes narrower than a pixel are left out, in small views all of them."""
    none = RegressedBoxes(np.zeros((0, 4)), np.zeros(0, np.float32), np.zeros(0, np.float32))
    method, evidence = supported_by(none)
    boxes, scores = method.locate([evidence], (64, 128), 128)
    assert len(boxes) and (scores == 0).all()
