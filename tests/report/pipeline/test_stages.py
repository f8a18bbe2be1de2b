"""What the stages make of odd data: empty maps, masks that show no target, batches that are damaged."""

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from dogcam.data.images import read_mask, read_pixels
from dogcam.data.reading import read_split
from dogcam.errors import ConfigError, RecordError
from dogcam.evaluate import metrics
from dogcam.models.checkpoints import load_checkpoint, save_checkpoint
from dogcam.structures.defaults import CAM_THRESHOLD
from dogcam.structures.detections import Detections, GroundTruth
from report.pipeline import methods
from report.pipeline.gather import split_info
from report.pipeline.shared import gallery, maps
from report.pipeline.shared.boxes import ground_truth, matches_of
from report.pipeline.shared.maps import heat_of
from report.pipeline.shared.predictions import predictions
from report.pipeline.stages import draw, evaluate, picture, segment
from tests.support import runs as fixtures
from tests.support.stages import COMPUTING, after, context_of


@pytest.fixture(scope="module")
def localised(small_data, small_checkpoint, tmp_path_factory):
    context = context_of(small_data, small_checkpoint, tmp_path_factory.mktemp("localised"))
    return after(context, "predict", "localise")


def test_predictions_are_in_the_order_of_the_images(localised):
    whole = predictions(localised, "reported")
    images = localised.reported.images
    assert len(whole.logits) == len(images)
    assert set(whole.maps) == set(methods.in_use(localised.config, "map"))
    assert methods.GRAD_CAM_REFERENCE not in whole.maps
    alone = localised.classifier.network(localised.classifier.batch([read_pixels(images[9])]))
    np.testing.assert_allclose(whole.logits[9], alone[0].detach(), atol=1e-4)
    names = localised.outputs["predict"]["by_split"]
    assert {role: len(files) for role, files in names.items()} == {"reported": 3, "tuning": 2}


def test_the_batch_size_leaves_the_predictions_alone(localised, small_data, small_checkpoint, tmp_path):
    other = after(context_of(small_data, small_checkpoint, tmp_path, batch_size=5), "predict")
    for role in ("reported", "tuning"):
        ours, theirs = predictions(localised, role), predictions(other, role)
        np.testing.assert_allclose(ours.logits, theirs.logits, atol=1e-4)
        np.testing.assert_allclose(ours.maps["grad_cam"], theirs.maps["grad_cam"], atol=1e-4)


@pytest.mark.parametrize("kept", [0, 200])
def test_a_damaged_batch_is_named_and_made_again(small_data, small_checkpoint, tmp_path, kept):
    context = after(context_of(small_data, small_checkpoint, tmp_path, tuned=False), "predict")
    before = predictions(context, "reported").logits
    first, path, *_ = (tmp_path / name for name in context.outputs["predict"]["by_split"]["reported"])
    written = first.stat().st_mtime_ns
    path.write_bytes(path.read_bytes()[:kept])
    assert predictions(context, "reported").logits is before, "read once a run"
    context = replace(context, memo={})
    with pytest.raises(RecordError, match=re.escape(path.name)):
        predictions(context, "reported")
    again = after(context, "predict")
    assert np.array_equal(predictions(again, "reported").logits, before)
    assert first.stat().st_mtime_ns == written


def test_a_batch_of_other_images_is_made_again(small_data, small_checkpoint, tmp_path):
    context = after(context_of(small_data, small_checkpoint, tmp_path, tuned=False), "predict")
    before = predictions(context, "reported").logits
    first, second, *_ = (tmp_path / name for name in context.outputs["predict"]["by_split"]["reported"])
    second.write_bytes(first.read_bytes())
    again = after(replace(context, memo={}), "predict")
    assert np.array_equal(predictions(again, "reported").logits, before)


@pytest.mark.parametrize(("n_images", "told"), [(1, False), (2, True)])
def test_nothing_follows_from_the_spread_of_a_single_image(n_images, told):
    truth = GroundTruth.from_images([[[0, 0, 9, 9]]] * n_images)
    right, wrong = ([[box]] * n_images for box in ([0, 0, 9, 9], [20, 20, 29, 29]))
    scores = [[0.5]] * n_images
    matches = {
        name: metrics.match(truth, Detections.from_images(boxes, scores), (0.5,))
        for name, boxes in (("a", right), ("b", wrong))
    }
    resampler = metrics.Resampler(n_images, 100)
    drawn = {name: resampler.ap_samples(each) for name, each in matches.items()}
    found = evaluate._comparison(matches, drawn, ("a", "b"), 0, 0.5, resampler)
    assert found.difference.value == 1.0
    assert (found.verdict, found.difference.interval.low) == (
        ("better", 1.0) if told else ("not distinguishable", None)
    )


def test_the_cut_is_the_best_of_the_sweep_on_the_tuning_split(localised):
    for tuning in localised.outputs["localise"]["tuning"].values():
        assert tuning["chosen"]
        best = max(row["mean_ap"] for row in tuning["rows"])
        chosen = [
            row for row in tuning["rows"]
            if (row["cam_threshold"], row["components"]) == (tuning["cam_threshold"], tuning["components"])
        ]  # fmt: skip
        assert [row["mean_ap"] for row in chosen] == [best]
        assert all(row["mean_ap"] == pytest.approx(np.mean(row["ap"])) for row in tuning["rows"])


def test_a_cut_that_is_given_is_not_chosen(localised, small_data, small_checkpoint, tmp_path):
    context = context_of(small_data, small_checkpoint, tmp_path, cam_threshold=0.45)
    context = after(context, "predict", "localise")
    for tuning in context.outputs["localise"]["tuning"].values():
        assert (tuning["cam_threshold"], tuning["chosen"], tuning["rows"]) == (0.45, False, [])


def test_the_test_split_never_chooses(small_data, small_checkpoint, tmp_path):
    context = context_of(small_data, small_checkpoint, tmp_path, tuned=False)
    context = after(context, "predict", "localise", "evaluate", "compare", "analyse", "segment")
    tuning = context.outputs["localise"]["tuning"]["grad_cam"]
    assert (tuning["cam_threshold"], tuning["chosen"]) == (CAM_THRESHOLD, False)
    point = context.outputs["evaluate"]["operating_point"]
    assert point["score_threshold"] == evaluate.DEFAULT_SCORE_THRESHOLD
    masks = context.outputs["segment"]
    assert (masks["chosen_on"], masks["sweep"], masks["n_tuning_images"]) == (None, [], 0)
    assert (masks["cam_threshold"], masks["background_threshold"]) == segment.DEFAULT_SEEDS


def test_the_best_precision_that_is_named_can_be_asked_for():
    found = Detections([0, 0], [[0, 0, 10, 10], [50, 0, 60, 10]], [0.9, 0.9])
    matches = metrics.match(GroundTruth.from_images([[[0, 0, 10, 10]]]), found, [0.5])
    with pytest.raises(ConfigError, match=r"0\.6 .*0\.500"):
        evaluate.choose_threshold(matches, 0.5, 0.6, "val")
    assert evaluate.choose_threshold(matches, 0.5, 0.5, "val") == 0.9


def test_what_stages_share_is_computed_once(localised):
    assert predictions(localised, "reported") is predictions(localised, "reported")
    assert matches_of(localised, "grad_cam") is matches_of(localised, "grad_cam")
    assert matches_of(localised, "grad_cam") is not matches_of(localised, "cam")
    heat = heat_of(localised, "reported", "grad_cam", 0)
    assert heat_of(localised, "reported", "grad_cam", 0) is heat
    assert heat.shape == localised.reported.images[0].size
    with pytest.raises(ValueError, match="read-only"):
        heat[0, 0] = 1


def test_heat_maps_beyond_the_limit_are_made_again(localised, monkeypatch):
    monkeypatch.setattr(maps, "MOST_BYTES", 0)
    fresh = replace(localised, memo={})
    first, second = (heat_of(fresh, "reported", "grad_cam", 0) for _ in range(2))
    assert first is not second
    assert np.array_equal(first, second)


def test_heat_maps_of_other_classes_take_no_memory(localised):
    fresh = replace(localised, memo={})
    kept = heat_of(fresh, "reported", "grad_cam", 0)
    others = [heat_of(fresh, "reported", "grad_cam", place, "cat") for place in (0, 0, 1)]
    assert np.array_equal(others[0], others[1]) and others[0] is not others[1]
    assert [each for each in fresh.memo.values() if isinstance(each, np.ndarray)] == [kept]


def test_baselines_are_one_box_an_image(localised):
    found = localised.outputs["localise"]["detections"]["reported"]
    has_dog = ["dog" in image.labels for image in localised.reported.images]
    for name in ("centerbox", "centerbox_scored", "full_image"):
        assert [len(rows) for rows in found[name]] == [1] * len(has_dog)
    assert [len(rows) for rows in found["cheating_centerbox"]] == [int(each) for each in has_dog]
    image, (box, *_) = localised.reported.images[0], found["full_image"][0]
    assert box[:4] == [0.0, 0.0, image.width, image.height]


def test_no_map_no_box_no_fault(small_data, tmp_path):
    """A network for which nothing speaks for the class: every stage has a say, none an error."""
    blind = fixtures.write_blind_checkpoint(tmp_path / "blind.safetensors")
    context = after(context_of(small_data, blind, tmp_path), *COMPUTING)
    found = context.outputs["localise"]["detections"]["reported"]
    assert not any(found["grad_cam"])
    rows = {method["name"]: method["rows"] for method in context.outputs["evaluate"]["detection"]["methods"]}
    assert {row["ap"] for row in rows["grad_cam"]} == {0.0}
    assert context.outputs["evaluate"]["operating_point"]["precision"]["value"] is None
    first = context.outputs["compare"]["comparisons"][0]
    assert (first["n_images"], first["n_empty_a"]) == (0, len(context.reported))
    assert first["largest_difference"] is first["correlation"]["value"] is None
    counts = {row["type"]: row["n_missed"] for row in context.outputs["analyse"]["types"]}
    assert counts["missed"] == sum(counts.values()) == len(ground_truth(context).boxes)


def test_methods_are_one_map_at_the_last_layer_and_part_at_the_earlier(localised):
    context = after(localised, "evaluate", "compare")
    same = {(pair["a"], pair["b"]): pair["same"] for pair in context.outputs["compare"]["comparisons"]}
    assert same["grad_cam", "cam"]
    parting = {pair: each for pair, each in same.items() if pair[0] == methods.EARLIER}
    assert len(parting) == 3 and not any(parting.values())
    compared = {(each["a"], each["b"]) for each in context.outputs["evaluate"]["detection"]["comparisons"]}
    assert parting.keys() <= compared


def test_the_map_grid_shows_the_same_images_under_each_method(finished):
    record = fixtures.record_of(finished)
    rows = record["pictures"]["grid"]
    assert [row["picked"] for row in rows] == ["best", "median", "worst"]
    assert all([cell["method"] for cell in row["cells"]] == list(picture.GRID_METHODS) for row in rows)
    main = [row["cells"][0]["iou"] for row in rows]
    assert main == sorted(main, reverse=True)
    for row in rows:
        assert (finished / row["composite"]).stat().st_size <= picture.ROW_BUDGET
        assert all((finished / cell["map"]).stat().st_size <= picture.LAYER_BUDGET for cell in row["cells"])


def test_probabilities_are_described_in_numbers(finished):
    record = fixtures.record_of(finished)
    alt = {figure["name"]: figure["alt"] for figure in record["figures"]}
    words = r"Probability of dog: median 0\.\d\d with dog, 0\.\d\d without\."
    assert re.fullmatch(words, alt["probabilities"])
    assert all(len(each) < 900 for each in alt.values())


def test_failures_are_those_of_the_operating_point_with_what_they_cost(localised):
    context = after(localised, "evaluate", "analyse")
    point = context.outputs["evaluate"]["operating_point"]
    types = context.outputs["analyse"]["types"]
    assert sum(row["n_detections"] for row in types) == point["false_positives"]
    assert sum(row["n_missed"] for row in types) == point["false_negatives"]
    for row in types:
        occurs = row["n_detections"] or row["n_missed"]
        assert occurs or row["ap_gain"]["value"] == 0.0
        interval = row["ap_gain"]["interval"]
        assert -1e-12 <= interval["low"] <= interval["high"]
    assert max(row["ap_gain"]["value"] for row in types) > 0


@pytest.mark.parametrize("shown", ["other classes", "nothing on the tuning split", "a mask is missing"])
def test_masks_that_show_no_target_measure_nothing(localised, small_data, tmp_path, shown):
    split = localised.tuning if shown.startswith("nothing") else localised.reported
    moved = {}
    for image in split.images:
        path = tmp_path / "SegmentationClass" / f"{image.id}.png"
        path.parent.mkdir(exist_ok=True)
        mask = np.where(read_mask(image) == 255, 255, 0).astype(np.uint8)
        Image.fromarray(mask).save(path)
        moved[image.id] = replace(image, mask_path=path)
    if shown.startswith("a mask"):
        (tmp_path / "SegmentationClass" / f"{split.images[-1].id}.png").unlink()
    split = replace(split, images=tuple(moved.values()))
    role = "tuning" if shown.startswith("nothing") else "reported"
    masks = segment.run(replace(localised, **{role: split}))
    if role == "reported":
        assert masks is None
    else:
        assert (masks["chosen_on"], masks["sweep"]) == (None, [])
        assert masks["rows"][0]["iou"]["value"] > 0


def test_a_target_without_a_number_in_the_masks_has_no_segmentation(localised):
    config = localised.config.model_copy(update={"target": "fox"})
    assert segment.run(replace(localised, config=config)) is None


def test_masks_are_counted_pixel_by_pixel(localised):
    """The IoU of the mask of everything, counted again from the masks' files."""
    masks = segment.run(localised)
    shared = union = 0
    probabilities = predictions(localised, "reported").probabilities(localised.target)
    for image, probability in zip(localised.reported.images, probabilities, strict=True):
        truth = np.array(Image.open(image.mask_path))
        dog, counts = truth == 12, truth != 255
        said = counts if probability >= segment.SCORE_THRESHOLD else np.zeros_like(counts)
        shared += (dog & said).sum()
        union += ((dog | said) & counts).sum()
    row = next(row for row in masks["rows"] if row["name"] == "full_image")
    assert row["iou"]["value"] == pytest.approx(shared / union)
    assert masks["chosen_on"] == "val"
    best = max(row["iou"] for row in masks["sweep"])
    assert best in {
        row["iou"] for row in masks["sweep"]
        if (row["cam_threshold"], row["background_threshold"])
        == (masks["cam_threshold"], masks["background_threshold"])
    }  # fmt: skip


@pytest.mark.parametrize(
    ("n_cases", "n_wanted", "whys"),
    [
        (0, 4, []),
        (1, 4, ["worst"]),
        (2, 4, ["worst", "median"]),
        (3, 1, ["worst"]),
        (9, 4, ["worst", "median", "random", "random"]),
    ],
)
def test_the_gallery_is_picked_by_rule(n_cases, n_wanted, whys):
    picked = gallery.pick(n_cases, n_wanted, seed=7)
    assert [why for _, why in picked] == whys
    places = [place for place, _ in picked]
    assert len(set(places)) == len(places)
    assert all(0 <= place < n_cases for place in places)
    assert picked == gallery.pick(n_cases, n_wanted, seed=7)
    if len(whys) > 1:
        assert places[:2] == [0, n_cases // 2]


def test_pictures_of_the_gallery_are_small_and_of_the_photograph_s_shape(finished):
    record = fixtures.record_of(finished)
    items = [item for row in record["failures"]["types"] for item in row["items"]]
    assert items
    for item in items:
        for name in (item["photo"], item["composite"]):
            with Image.open(finished / name) as picture:
                assert max(picture.size) <= draw.PHOTO_SIDE
                ratio = picture.width / picture.height
                assert ratio == pytest.approx(item["width"] / item["height"], rel=0.05)
        for box in item["boxes"]:
            x0, y0, x1, y1 = box["xyxy"]
            assert 0 <= x0 < x1 <= item["width"]
            assert 0 <= y0 < y1 <= item["height"]


def test_a_card_tells_which_images_the_classifier_has_learned_from(small_data, small_checkpoint, tmp_path):
    tuning = read_split(small_data, "val")
    checkpoint = load_checkpoint(small_checkpoint)
    card = checkpoint.meta | {"data": {"train": {"manifest": tuning.manifest}}}
    save_checkpoint(tmp_path / "learned.safetensors", checkpoint.state, card)
    for path, expected in ((small_checkpoint, False), (tmp_path / "learned.safetensors", True)):
        context = context_of(small_data, path, tmp_path)
        assert split_info(context, context.tuning).learned_from is expected
        assert split_info(context, context.reported).learned_from is False
        # A run looks at the first images of a long split, and training at all of them.
        for part in (read_split(small_data, "val", 5), read_split(small_data, "val[3:9]")):
            assert part.manifest != tuning.manifest
            assert split_info(context, part).learned_from is expected


def test_images_are_ranked_as_scikit_learn_has_it(localised):
    from sklearn.metrics import average_precision_score

    found = after(localised, "evaluate").outputs["evaluate"]["classification"]
    predicted, classes = predictions(localised, "reported"), localised.classifier.classes
    assert len(found["classes"]) > 1
    for each in found["classes"]:
        present = [each["name"] in image.labels for image in localised.reported.images]
        scores = predicted.probabilities(classes.index(each["name"]))
        assert each["ap"]["value"] == pytest.approx(average_precision_score(present, scores))
        assert each["n_images"] == sum(present)
        assert each["ap"]["interval"]["low"] <= each["ap"]["value"] <= each["ap"]["interval"]["high"]
    mean = np.mean([each["ap"]["value"] for each in found["classes"]])
    assert found["mean_ap"]["value"] == pytest.approx(mean)
    assert found["target"] == next(each["ap"] for each in found["classes"] if each["name"] == "dog")
