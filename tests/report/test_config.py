"""The settings of a run: what they refuse, and what data they refuse together with."""

from pathlib import Path

import pytest
from PIL import Image
from pydantic import ValidationError

from dogcam.errors import ConfigError, DataError
from dogcam.structures.presets import PRESET_NAMES
from report.config import RunConfig, make_config, with_defaults
from report.pipeline import prepare


def read_data(config, folder, say=lambda _: None):
    """The split that is reported on, and the tuning split."""
    reported = prepare.read_reported(config, folder, say)
    return reported, prepare.read_tuning(config, folder, reported, say)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("limit", 0),
        ("limit", -3),
        ("tuning_limit", 0),
        ("batch_size", 0),
        ("per_type", 0),
        ("n_resamples", 99),
        ("cam_threshold", 0.0),
        ("cam_threshold", 1.0),
        ("cam_threshold", float("nan")),
        ("model", ""),
        ("iou_thresholds", ()),
        ("iou_thresholds", (0.5, 0.3)),
        ("iou_thresholds", (0.3, 0.3)),
        ("iou_thresholds", (0.3, 1.0)),
        ("seed", "soon"),
        ("no_such_setting", 1),
    ],
)
def test_a_bad_value_is_refused_by_the_setting_s_name(setting, value):
    with pytest.raises(ConfigError, match=setting) as caught:
        make_config(**{setting: value})
    assert "\n" not in str(caught.value)


def test_the_split_reported_on_cannot_be_tuned_on():
    with pytest.raises(ConfigError, match="'val'"):
        make_config(split="val", tuning_split="val")


def test_a_localiser_and_its_preset_belong_together():
    given = {"data": "sample", "localiser": Path("folder/l.safetensors")}
    config = make_config(**with_defaults(given))
    assert config.presets == ("published", "localiser")
    assert config.without_paths().localiser == "l.safetensors"
    every = make_config(**with_defaults({**given, "presets": ("all",)}))
    assert every.presets == PRESET_NAMES
    assert make_config(**with_defaults({"data": "sample", "presets": ("all",)})).presets == PRESET_NAMES[:-1]
    for settings in ({"presets": ("localiser",)}, {"localiser": "l.safetensors"}):
        with pytest.raises(ConfigError, match="--localiser"):
            make_config(**settings)


def test_settings_do_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        make_config().seed = 1


@pytest.mark.parametrize(
    ("data", "kind", "name"),
    [("sample", "sample", "sample"), ("voc2007", "voc2007", "voc2007"), ("/far/away/pets", "folder", "pets")],
)
def test_a_data_set_is_called_by_its_last_name_only(data, kind, name):
    config = RunConfig(data=data)
    assert (config.kind, config.data_name) == (kind, name)


def write_split(root: Path, name: str, ids: list[str], thing: str = "dog") -> None:
    for folder in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(ids))
    corners = "<xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax>"
    for image_id in ids:
        Image.new("RGB", (9, 9)).save(root / "JPEGImages" / f"{image_id}.jpg")
        (root / "Annotations" / f"{image_id}.xml").write_text(
            f"<annotation><size><width>9</width><height>9</height></size>"
            f"<object><name>{thing}</name><bndbox>{corners}</bndbox></object></annotation>"
        )


def test_splits_that_share_images_are_refused(tmp_path):
    write_split(tmp_path, "test", ["a", "b", "c"])
    write_split(tmp_path, "val", ["c", "d", "b"])
    config = make_config(split="test", tuning_split="val")
    with pytest.raises(ConfigError, match=r"'test' .*'val' .*2 .*\bb\b"):
        read_data(config, tmp_path)


def test_limits_take_the_first_images_of_each_list(tmp_path):
    write_split(tmp_path, "test", ["a", "b", "c"])
    write_split(tmp_path, "val", ["d", "b"])
    config = make_config(split="test", tuning_split="val", limit=1, tuning_limit=1)
    test, tuning = read_data(config, tmp_path)
    assert [image.id for image in test.images] == ["a"]
    assert [image.id for image in tuning.images] == ["d"], "the shared b lies beyond the limit"


@pytest.mark.parametrize("role", ["split", "tuning split"])
def test_a_target_that_is_not_annotated_is_refused_with_what_is_there(tmp_path, role):
    write_split(tmp_path, "test", ["a"], "dog" if role == "tuning split" else "cat")
    write_split(tmp_path, "val", ["b"], "dog" if role == "split" else "cat")
    with pytest.raises(ConfigError, match=r"'dog' .*cat"):
        read_data(make_config(split="test", tuning_split="val"), tmp_path)


def test_a_limit_that_leaves_no_target_is_refused(tmp_path):
    write_split(tmp_path, "test", ["b"])
    write_split(tmp_path, "test", ["a"], "cat")
    write_split(tmp_path, "test", ["a", "b"])
    write_split(tmp_path, "other", ["a"], "cat")
    with pytest.raises(ConfigError, match="--limit"):
        read_data(make_config(split="test", limit=1), tmp_path)


def test_without_a_tuning_split_none_is_read(tmp_path):
    write_split(tmp_path, "test", ["a"])
    write_split(tmp_path, "val", ["b"])
    assert read_data(make_config(split="test", tuning_split=None), tmp_path)[1] is None


@pytest.mark.parametrize(
    ("there", "split", "chosen"),
    [
        (["train", "val", "test"], "test", "val"),
        (["train", "val"], "train", "val"),
        (["train", "test"], "test", "train"),
        (["train", "val"], "val", "train"),
        (["val"], "val", None),
        (["test", "trainval"], "test", None),
    ],
)
def test_thresholds_are_chosen_on_another_split(tmp_path, there, split, chosen):
    for number, name in enumerate(there):
        write_split(tmp_path, name, [str(number)])
    tuning = read_data(make_config(split=split), tmp_path)[1]
    assert (tuning and tuning.name) == chosen


def test_a_split_without_the_target_is_not_chosen_to_tune_on(tmp_path):
    write_split(tmp_path, "test", ["a"])
    write_split(tmp_path, "val", ["b"], "cat")
    write_split(tmp_path, "train", ["c"])
    said = []
    assert read_data(make_config(split="test"), tmp_path, said.append)[1].name == "train"
    assert said == ["no dog in the 1 images of val: no threshold is chosen there"]
    write_split(tmp_path, "train", ["c"], "cat")
    assert read_data(make_config(split="test"), tmp_path, said.append)[1] is None
    with pytest.raises(ConfigError, match=r"'dog' .*'val'.*--tuning-limit"):
        read_data(make_config(split="test", tuning_split="val"), tmp_path)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_that_no_generator_takes_is_refused(seed):
    with pytest.raises(ConfigError, match="seed"):
        make_config(seed=seed)


def test_a_missing_split_names_those_that_are_there(tmp_path):
    write_split(tmp_path, "val", ["a"])
    with pytest.raises(DataError, match=r"test\.txt .*\bval\b"):
        read_data(make_config(split="test"), tmp_path)


def test_the_settings_decide_about_faults_of_the_data(tmp_path):
    write_split(tmp_path, "test", ["a", "b", "c"])
    path = tmp_path / "Annotations" / "a.xml"
    path.write_text(path.read_text().replace("<xmax>5<", "<xmax>12<"))
    (tmp_path / "JPEGImages" / "b.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"(?s)2 images.*a\.xml.*b\.jpg"):
        read_data(make_config(tuning_split=None), tmp_path)
    config = make_config(tuning_split=None, on_bad_box="clip", on_error="skip")
    found, _ = read_data(config, tmp_path)
    assert (found.n_clipped, found.skipped_images) == (1, ("b",))
    assert found.images[0].boxes_of("dog").tolist() == [[0, 0, 9, 5]]


def test_masks_of_another_numbering_are_left_out_and_said(tmp_path):
    write_split(tmp_path, "test", ["a", "b"])
    (tmp_path / "SegmentationClass").mkdir()
    for number, kept in ((12, True), (2, False)):
        for name in "ab":
            mask = Image.new("L", (9, 9), number)
            mask.save(tmp_path / "SegmentationClass" / f"{name}.png")
        said = []
        found, _ = read_data(make_config(tuning_split=None), tmp_path, said.append)
        assert (found.mask_classes is not None, len(said)) == (kept, 0 if kept else 1)
    assert "'bicycle'" in said[0]


def test_photographs_without_annotations_are_refused(tmp_path):
    (tmp_path / "test").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "test" / "a.jpg")
    with pytest.raises(ConfigError, match=tmp_path.name):
        read_data(make_config(tuning_split=None), tmp_path)
