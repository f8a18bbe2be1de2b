import hashlib
import json
import random
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dogcam.data.images import VOID, read_mask, read_pixels
from dogcam.data.reading import read_split, split_names
from dogcam.data.sample import CLASSES, render_scene, write_sample
from dogcam.data.sample.annotation import annotate, class_mask
from dogcam.data.sample.canvas import Canvas, Drawing, PaintedPart
from dogcam.data.sample.composition import draw_composition
from dogcam.data.sample.shapes import Placement, coverage, disc, rectangle, spline, stroke
from dogcam.data.sample.writer import MARKER, annotation_xml, palette
from dogcam.errors import ConfigError, DataError
from tests.support.processes import group_lives, wait_until

SMALL = {"n_train": 3, "n_val": 2, "n_test": 7}
TINY = {"n_train": 1, "n_val": 1, "n_test": 1, "workers": 1}


@pytest.fixture(scope="module")
def scenes():
    return [render_scene(2007, "test", index) for index in range(32)]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    called = []
    root = tmp_path_factory.mktemp("sample") / "small"
    write_sample(root, workers=2, meanwhile=lambda: called.append(root.exists()), **SMALL)
    assert called == [False]
    return root


def file_digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def plain_canvas(height: int, width: int) -> Canvas:
    return Canvas(np.full((3, height, width), 0.5, np.float32), np.random.default_rng(0))


def square(name: str | None, side: float = 80) -> Drawing:
    """A square whose lower left corner is its origin."""
    return Drawing(name, (PaintedPart((rectangle(0, 0, side, side),), (0.8, 0.2, 0.2)),), shadow=0.0)


def visible_extent(pixels: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(pixels)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


class TestWritten:
    def test_splits_are_read_back_as_they_were_rendered(self, written):
        assert split_names(written) == ("test", "train", "val")
        for split, count in (("train", 3), ("val", 2), ("test", 7)):
            images = read_split(written, split).images
            assert len(images) == count
            for index, image in enumerate(images):
                scene = render_scene(2007, split, index)
                assert image.size == scene.image.shape[:2] == read_pixels(image).size[::-1]
                assert [thing.name for thing in image.objects] == [thing.name for thing in scene.objects]
                assert [thing.box for thing in image.objects] == [thing.box for thing in scene.objects]
                for read, drawn in zip(image.objects, scene.objects, strict=True):
                    assert (read.truncated, read.difficult) == (drawn.truncated, drawn.difficult)
                np.testing.assert_array_equal(read_mask(image), scene.mask)

    def test_the_photograph_is_the_rendered_one_up_to_jpeg(self, written):
        stored = np.asarray(read_pixels(read_split(written, "test").images[0]), float)
        assert np.abs(stored - render_scene(2007, "test", 0).image).mean() < 6

    def test_segmentation_lists_equal_the_main_ones(self, written):
        for split in ("train", "val", "test"):
            lists = [written / "ImageSets" / kind / f"{split}.txt" for kind in ("Main", "Segmentation")]
            assert lists[0].read_bytes() == lists[1].read_bytes()

    def test_the_marker_states_version_seed_counts_and_classes(self, written):
        marker = json.loads((written / MARKER).read_text())
        assert marker["seed"] == 2007
        assert marker["counts"] == {"train": 3, "val": 2, "test": 7}
        assert tuple(marker["classes"]) == CLASSES == tuple(sorted(CLASSES))

    def test_bytes_do_not_depend_on_the_number_of_workers(self, written, tmp_path):
        again = write_sample(tmp_path / "again", workers=1, **SMALL)
        assert file_digests(again) == file_digests(written)

    def test_another_seed_gives_other_pictures(self, written, tmp_path):
        other = write_sample(tmp_path / "other", seed=1, workers=1, n_train=1, n_val=1, n_test=1)
        path = Path("JPEGImages") / "train00000.jpg"
        assert (other / path).read_bytes() != (written / path).read_bytes()

    def test_masks_are_palette_images_in_vocs_colours(self, written):
        with Image.open(next((written / "SegmentationClass").iterdir())) as mask:
            assert mask.mode == "P"
            colours = np.reshape(mask.getpalette(), (-1, 3))
        assert colours[:4].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
        assert np.reshape(palette(), (256, 3))[VOID].tolist() == [224, 224, 192]


@pytest.mark.slow
class TestWholeOrNotAtAll:
    def test_an_interrupted_write_leaves_nothing(self, tmp_path):
        def interrupt(done: int, total: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_sample(tmp_path / "sample", progress=interrupt, **TINY)
        assert list(tmp_path.iterdir()) == []

    def test_a_complete_sample_is_reused(self, tmp_path):
        calls = []
        root = write_sample(tmp_path / "sample", progress=lambda *call: calls.append(call), **TINY)
        assert calls == [(3, 3)]
        (root / "JPEGImages" / "train00000.jpg").write_bytes(b"kept")
        assert write_sample(root, progress=lambda *call: calls.append(call), **TINY) == root
        assert calls == [(3, 3)]
        assert (root / "JPEGImages" / "train00000.jpg").read_bytes() == b"kept"

    @pytest.mark.parametrize("lost", ["JPEGImages/val00000.jpg", "ImageSets/Main/test.txt"])
    def test_a_damaged_sample_is_made_again(self, tmp_path, lost):
        root = write_sample(tmp_path / "sample", **TINY)
        before = file_digests(root)
        (root / lost).unlink()
        write_sample(root, **TINY)
        assert file_digests(root) == before

    def test_a_sample_of_other_counts_is_replaced(self, tmp_path):
        root = write_sample(tmp_path / "sample", **TINY)
        write_sample(root, **{**TINY, "n_val": 2})
        assert len(read_split(root, "val")) == 2

    def test_a_folder_with_something_else_is_left_alone(self, tmp_path):
        (tmp_path / "mine.txt").write_text("precious")
        with pytest.raises(DataError, match="choose another folder"):
            write_sample(tmp_path, **TINY)
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

    def test_a_second_writer_waits_and_renders_nothing(self, tmp_path):
        root, calls = tmp_path / "sample", []
        with ThreadPoolExecutor(1) as other:

            def begin_another(done: int, total: int) -> None:
                job = other.submit(write_sample, root, progress=lambda *call: calls.append(call), **TINY)
                with pytest.raises(TimeoutError):
                    job.result(timeout=0.2)

            write_sample(root, progress=begin_another, **TINY)
        assert calls == []
        assert list(tmp_path.iterdir()) == [root]

    @pytest.mark.slow
    def test_a_killed_writer_leaves_no_process_and_the_next_one_no_folder(self, tmp_path):
        code = (
            "from dogcam.data.sample import write_sample\n"
            f"if __name__ == '__main__': write_sample({str(tmp_path / 'sample')!r}, n_train=400, workers=2)"
        )
        (tmp_path / "write.py").write_text(code)
        process = subprocess.Popen([sys.executable, "write.py"], cwd=tmp_path, start_new_session=True)
        unfinished = tmp_path / ".sample.unfinished"
        wait_until(lambda: len(list(unfinished.rglob("*.jpg"))) > 1)
        process.kill()
        process.wait()
        wait_until(lambda: not group_lives(process.pid))
        write_sample(tmp_path / "sample", **TINY)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["sample", "write.py"]

    def test_what_came_into_the_place_in_the_meantime_is_left_alone(self, tmp_path):
        root = tmp_path / "sample"

        def come(done: int, total: int) -> None:
            root.mkdir()
            (root / "mine.txt").write_text("precious")

        with pytest.raises(DataError, match="choose another folder"):
            write_sample(root, progress=come, **TINY)
        assert [path.name for path in tmp_path.rglob("*")] == ["sample", "mine.txt"]

    def test_a_file_in_its_place_is_left_alone(self, tmp_path):
        (tmp_path / "sample").write_text("precious")
        with pytest.raises(DataError, match="cannot be written"):
            write_sample(tmp_path / "sample", **TINY)
        assert (tmp_path / "sample").read_text() == "precious"

    def test_an_earlier_sample_stands_until_the_fresh_one_takes_its_place(self, tmp_path, monkeypatch):
        root = write_sample(tmp_path / "sample", **TINY)
        before, steps, rename = file_digests(root), [], Path.rename

        def watch(path: Path, target: Path) -> Path:
            steps.append((path == root, target == root, file_digests(root) == before))
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", watch)
        write_sample(root, **{**TINY, "seed": 1})
        assert steps == [(True, False, True), (False, True, False)]
        assert file_digests(root) != before
        assert list(tmp_path.iterdir()) == [root]

    def test_a_place_that_cannot_be_written_is_named(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(DataError, match="cannot be written"):
            write_sample(tmp_path / "file" / "sample", **TINY)

    def test_a_split_of_no_images_is_left_out(self, tmp_path):
        root = write_sample(tmp_path / "sample", **{**TINY, "n_train": 0})
        assert split_names(root) == ("test", "val")
        whole = write_sample(tmp_path / "whole", **TINY)
        part = {
            name: sha for name, sha in file_digests(whole).items() if "train" not in name and name != MARKER
        }
        assert {name: sha for name, sha in file_digests(root).items() if name != MARKER} == part

    def test_a_sample_with_more_splits_is_reused_and_one_with_fewer_is_completed(self, tmp_path):
        root = write_sample(tmp_path / "sample", **{**TINY, "n_train": 0})
        write_sample(root, **TINY)
        assert split_names(root) == ("test", "train", "val")
        (root / "JPEGImages" / "val00000.jpg").write_bytes(b"kept")
        write_sample(root, **{**TINY, "n_train": 0})
        assert (root / "JPEGImages" / "val00000.jpg").read_bytes() == b"kept"

    @pytest.mark.parametrize(
        "wrong", [{"n_train": 0, "n_val": 0, "n_test": 0}, {"n_test": -1}, {"workers": 0}]
    )
    def test_impossible_requests_are_refused(self, tmp_path, wrong):
        with pytest.raises(ConfigError, match="expected at least 1"):
            write_sample(tmp_path / "sample", **{**TINY, **wrong})
        assert list(tmp_path.iterdir()) == []


class TestAnnotations:
    def test_boxes_are_tight_around_the_visible_pixels(self, scenes):
        for scene in scenes:
            for thing in scene.objects:
                assert thing.box == visible_extent(scene.instances == thing.number)

    def test_masks_agree_with_the_instances_up_to_the_border(self, scenes):
        for scene in scenes[:12]:
            names = {thing.number: CLASSES.index(thing.name) + 1 for thing in scene.objects}
            inside = scene.mask != VOID
            wanted = np.vectorize(lambda number, names=names: names.get(number, 0))(scene.instances)
            np.testing.assert_array_equal(scene.mask[inside], wanted[inside])
            assert inside.mean() > 0.8

    def test_truncated_means_that_the_whole_object_leaves_the_picture(self, scenes):
        flags = Counter()
        for scene in scenes:
            height, width = scene.image.shape[:2]
            for thing in scene.objects:
                x0, y0, x1, y1 = thing.whole_box
                assert thing.truncated == (x0 < 0 or y0 < 0 or x1 > width or y1 > height)
                flags[thing.truncated] += 1
        assert min(flags[True], flags[False]) > 5

    def test_flags_of_hand_placed_squares(self):
        canvas = plain_canvas(150, 300)
        canvas.paint(square("dog"), Placement(40, 120, 1.0))
        canvas.paint(square("cat"), Placement(-20, 120, 1.0))  # a quarter outside, over a quarter of the dog
        canvas.paint(square("dog"), Placement(180, 120, 1.0))
        canvas.paint(square(None), Placement(196, 120, 1.0))  # hides four fifths of it
        dog, cat, hidden = annotate(canvas)
        # Pillow draws the pixels on an edge as well, so that a box may be a pixel larger than the square.
        np.testing.assert_allclose(dog.box, (60, 40, 120, 120), atol=1)
        np.testing.assert_allclose(cat.box, (0, 40, 60, 120), atol=1)
        np.testing.assert_allclose(hidden.box, (180, 40, 196, 120), atol=1)
        assert [thing.visible for thing in (dog, cat, hidden)] == pytest.approx([0.75, 0.75, 0.2], abs=0.02)
        assert [thing.truncated for thing in (dog, cat, hidden)] == [False, True, False]
        assert [thing.occluded for thing in (dog, cat, hidden)] == [True, False, True]
        assert [thing.difficult for thing in (dog, cat, hidden)] == [False, False, True]

    def test_what_is_hardly_visible_is_void_and_not_annotated(self):
        canvas = plain_canvas(100, 100)
        canvas.paint(square("dog"), Placement(10, 90, 1.0))
        canvas.paint(square(None), Placement(14, 90, 1.0))  # leaves four columns, one in twenty
        assert annotate(canvas) == ()
        mask = class_mask(canvas.instances, ())
        assert set(np.unique(mask)) == {0, VOID}

    def test_borders_are_void_on_both_sides(self):
        canvas = plain_canvas(100, 100)
        canvas.paint(square("dog"), Placement(10, 90, 1.0))
        (thing,) = annotate(canvas)
        x0, y0, x1, y1 = thing.box
        mask = class_mask(canvas.instances, (thing,))
        row = mask[(y0 + y1) // 2]
        dog = CLASSES.index("dog") + 1
        assert row[x0 - 2 : x0 + 2].tolist() == [0, VOID, VOID, dog]
        assert row[x1 - 2 : x1 + 2].tolist() == [dog, VOID, VOID, 0]

    def test_annotations_are_the_same_on_every_machine(self, scenes):
        digest = hashlib.sha256()
        for index, scene in enumerate(scenes[:6]):
            digest.update(annotation_xml(scene, f"test{index:05d}"))
        assert digest.hexdigest() == "bbe66ee24554573d95949ef26e17194738b6bfa42c636fc927010c6559214193"


class TestContents:
    def test_rendered_scenes_hold_dogs_look_alikes_and_empty_places(self, scenes):
        names = [{thing.name for thing in scene.objects} for scene in scenes]
        assert 0.2 < np.mean(["dog" in found for found in names]) < 0.55
        assert np.mean([bool(found & {"cat", "fox", "sheep", "horse"}) for found in names]) > 0.3
        assert set().union(*names) == set(CLASSES)

    def test_dogs_come_in_many_sizes(self, scenes):
        shares = [
            (thing.box[2] - thing.box[0]) * (thing.box[3] - thing.box[1]) / (scene.instances.size)
            for scene in scenes
            for thing in scene.objects
            if thing.name == "dog"
        ]
        assert min(shares) < 0.08
        assert max(shares) > 0.35

    def test_company_of_dogs(self):
        casts = [draw_composition(random.Random(f"company/{index}")) for index in range(4000)]
        dogs, others = [c for c in casts if c.dogs], [c for c in casts if not c.dogs]
        assert len(dogs) / len(casts) == pytest.approx(0.34, abs=0.03)
        assert np.mean([c.dogs > 1 for c in dogs]) == pytest.approx(0.22, abs=0.04)
        for share in (
            lambda casts: np.mean([c.balls > 0 for c in casts]),
            lambda casts: np.mean([c.bowls > 0 for c in casts]),
            lambda casts: np.mean([c.setting == "lawn" for c in casts]),
        ):
            assert share(dogs) > 1.8 * share(others) > 0
            assert share(dogs) < 0.7
        assert np.mean([c.people > 0 for c in dogs]) > np.mean([c.people > 0 for c in others]) > 0.1


class TestShapes:
    def test_spline_runs_through_its_nodes(self):
        nodes = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
        np.testing.assert_allclose(spline(nodes, 4)[::4], nodes)
        np.testing.assert_allclose(spline(nodes, 4, closed=True)[::4], nodes)

    def test_a_straight_stroke_is_a_capsule(self):
        pixels = np.asarray(coverage([stroke([(20, 20), (60, 20)], [10, 10])], (0, 0, 80, 40))) / 255
        assert pixels.sum() == pytest.approx(40 * 20 + np.pi * 100, rel=0.04)
        assert pixels[20, 40] == 1
        assert pixels[20, 75] == 0

    def test_a_disc_covers_its_area(self):
        pixels = np.asarray(coverage([disc(25, 25, 20)], (0, 0, 50, 50))) / 255
        assert pixels.sum() == pytest.approx(np.pi * 400, rel=0.03)

    @pytest.mark.parametrize("flip", [False, True])
    def test_grid_is_the_inverse_of_points(self, flip):
        placement = Placement(30.0, 50.0, 8.0, flip, tilt=0.3)
        u, v = placement.grid((10, 20, 40, 60))
        for row, column in ((0, 0), (7, 21), (39, 29)):
            pixel = placement.points(np.array([[u[row, column], v[row, column]]]))[0]
            np.testing.assert_allclose(pixel, [10 + column + 0.5, 20 + row + 0.5], atol=1e-3)

    def test_up_is_up_and_flipping_mirrors(self):
        assert Placement(10, 50, 2.0).points(np.array([[3.0, 4.0]])).tolist() == [[16.0, 42.0]]
        assert Placement(10, 50, 2.0, flip=True).points(np.array([[3.0, 4.0]])).tolist() == [[4.0, 42.0]]
