"""Pictures: colour goes where the map and the boxes are, words stay readable and inside."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from dogcam.draw import overlays as pictures
from dogcam.draw.overlays import (
    DrawnBox,
    colour_bar,
    composite,
    encode_webp,
    heat_overlay,
    heat_picture,
    side_by_side,
    thumbnail,
)

GREY = (120, 120, 120)
TRUTH, DETECTION = (64, 240, 208), (255, 160, 40)


def photo(width=200, height=150):
    return Image.new("RGB", (width, height), GREY)


def changed(picture, before=None):
    """(H, W) bool array of the pixels that differ from the photograph."""
    before = photo(*picture.size) if before is None else before
    return (np.asarray(picture) != np.asarray(before)).any(axis=2)


def with_colour(picture, colour):
    return (np.asarray(picture) == colour).all(axis=2)


def test_the_overlay_is_clear_at_zero_and_denser_and_lighter_where_the_map_is_higher():
    ramp = np.tile(np.linspace(0, 1, 64), (8, 1))
    layer = np.asarray(heat_overlay(ramp, (8, 64))).astype(float)
    assert layer.shape == (8, 64, 4)
    assert (layer[:, 0, 3] == 0).all()
    assert (np.diff(layer[0, :, 3]) > 0).all()
    lightness = layer[0, :, :3] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()
    assert layer[0, -1, 3] < 255


def test_the_overlay_has_the_photographs_size_and_the_maps_place():
    small = np.zeros((4, 6))
    small[1, 4] = 1
    alpha = np.asarray(heat_overlay(small, (40, 120)))[..., 3]
    assert alpha.shape == (40, 120)
    rows, columns = np.nonzero(alpha == alpha.max())
    assert abs(rows.mean() + 0.5 - 15) < 1
    assert abs(columns.mean() + 0.5 - 90) < 1
    assert alpha[25:].max() == 0


@pytest.mark.parametrize("bad", [[0.0, 0.0], [[0.0, 1.5]], [[0.0, -1.0]], [[0.0, np.nan]]])
def test_the_overlay_refuses_what_is_no_map(bad):
    with pytest.raises(ValueError, match=r"\(h, w\)"):
        heat_overlay(np.array(bad), (10, 10))


def test_without_map_and_boxes_the_composite_is_the_photograph():
    picture = composite(photo(), None)
    assert picture.mode == "RGB"
    assert not changed(picture).any()


def test_the_composite_leaves_its_photograph_alone_and_takes_any_mode():
    original = Image.new("L", (50, 40), 120)
    picture = composite(original, np.ones((2, 2)), [DrawnBox((5, 5, 30, 30), "truth", "dog")])
    assert (picture.mode, picture.size) == ("RGB", (50, 40))
    assert set(original.tobytes()) == {120}


def test_the_map_changes_pixels_where_it_is_not_zero():
    half = np.zeros((150, 200))
    half[:, 100:] = 1
    difference = changed(composite(photo(), half))
    assert not difference[:, :100].any()
    assert difference[:, 100:].all()


@pytest.mark.parametrize("role", ["truth", "missed", "detection", "other", "below"])
def test_a_box_changes_its_border_and_nothing_else(role):
    difference = changed(composite(photo(), None, [DrawnBox((40, 30, 160, 120), role)]))
    rows, columns = np.nonzero(difference)
    # One pixel of halo outside the edge; inside it the line of two pixels and its halo.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (29, 120, 39, 160)
    assert not difference[34:116, 44:156].any()
    assert difference[30, 40:160].all()
    assert difference[30:120, 40].all()


def test_a_truth_is_solid_and_a_detection_dashed_with_whole_corners():
    box = (40, 30, 160, 120)
    truth = with_colour(composite(photo(), None, [DrawnBox(box, "truth")]), TRUTH)
    dashed = with_colour(composite(photo(), None, [DrawnBox(box, "detection")]), DETECTION)
    assert truth[30, 40:160].all()
    assert truth[119, 40:160].all()
    for row, column in [(30, 40), (30, 159), (119, 40), (119, 159)]:
        assert dashed[row, column]
    share = dashed[30, 40:160].mean()
    assert 0.4 < share < 0.8
    assert np.count_nonzero(np.diff(dashed[30, 40:160].astype(int))) > 8


def test_roles_differ_in_lightness_or_dash():
    luminance = {
        role: np.dot(stroke.colour, [0.2126, 0.7152, 0.0722]) for role, stroke in pictures._STROKES.items()
    }
    assert luminance["truth"] - luminance["detection"] > 20
    dashes = {role: stroke.dash for role, stroke in pictures._STROKES.items()}
    assert dashes["truth"] is dashes["missed"] is None
    assert len({dashes[role] for role in ("truth", "detection", "other", "below")}) == 4
    # A missed object differs from a found one by width too.
    assert pictures._STROKES["missed"].width > pictures._STROKES["truth"].width


def test_detections_lie_above_truths_whatever_their_order():
    box = (40, 30, 160, 120)
    boxes = [DrawnBox(box, "detection"), DrawnBox(box, "truth")]
    one, two = composite(photo(), None, boxes), composite(photo(), None, boxes[::-1])
    assert one.tobytes() == two.tobytes()
    assert with_colour(one, DETECTION)[30, 40]


def test_lines_grow_with_the_picture():
    def line_width(size):
        picture = composite(photo(size, size), None, [DrawnBox((10, 10, size - 10, size - 10), "truth")])
        return int(with_colour(picture, TRUTH)[: size // 2, size // 2].sum())

    assert line_width(224) == 2
    assert line_width(1800) == 10


def test_boxes_are_cut_off_at_the_edge_and_left_out_beyond_it():
    picture = composite(photo(), None, [DrawnBox((-50, -50, 400, 300), "truth")])
    assert with_colour(picture, TRUTH)[0].all()
    assert with_colour(picture, TRUTH)[:, -1].all()
    nowhere = [DrawnBox((300, 10, 400, 50), "truth", "gone"), DrawnBox((20, 20, 20, 60), "detection", "flat")]
    assert not changed(composite(photo(), None, nowhere)).any()


def label_pixels(size, boxes):
    """The pixels that labels change: drawn with them against drawn without."""
    bare = [DrawnBox(box.xyxy, box.role) for box in boxes]
    return changed(composite(photo(*size), None, boxes), composite(photo(*size), None, bare))


def test_a_label_stands_above_its_box_and_is_drawn_in_the_roles_colour():
    boxes = [DrawnBox((40, 60, 160, 120), "detection", "dog 0.93")]
    rows, columns = np.nonzero(label_pixels((200, 150), boxes))
    assert rows.max() < 60
    assert rows.max() - rows.min() > 10
    assert columns.min() >= 40
    plate = np.asarray(composite(photo(), None, boxes))[rows, columns]
    assert np.abs(plate.astype(int) - DETECTION).sum(axis=1).min() < 60


@pytest.mark.parametrize(
    "xyxy",
    [
        (0, 0, 60, 60),
        (150, 0, 200, 30),
        (0, 120, 30, 150),
        (170, 120, 200, 150),
        (0, 0, 200, 150),
        (90, 2, 110, 149),
    ],
)
def test_a_plate_is_whole_wherever_its_box_is(xyxy):
    whole = label_pixels((200, 150), [DrawnBox((40, 60, 160, 120), "detection", "dog 0.93")])
    drawn = label_pixels((200, 150), [DrawnBox(xyxy, "detection", "dog 0.93")])
    # The plate may cover a part of its own box's line, which is as dark as the plate in places.
    assert drawn.sum() > 0.85 * whole.sum()


rectangles = st.tuples(
    st.integers(-20, 190), st.integers(-20, 140), st.integers(1, 150), st.integers(1, 120)
).map(lambda t: (t[0], t[1], t[0] + t[2], t[1] + t[3]))


@given(rectangles, st.integers(10, 200), st.integers(8, 40))
def test_plates_never_leave_the_picture(rectangle, width, height):
    left, top, right, bottom = pictures._place(rectangle, (width, height), (200, 150), [])
    assert (right - left, bottom - top) == (width, height)
    assert left >= 0 <= top
    assert right <= 200
    assert bottom <= 150


def test_plates_of_boxes_that_share_a_corner_do_not_cover_one_another():
    size = (50, 16)
    taken = []
    for _ in range(4):
        taken.append(pictures._place((60, 60, 160, 120), size, (240, 200), taken))
    covered = np.zeros((200, 240), dtype=int)
    for left, top, right, bottom in taken:
        covered[top:bottom, left:right] += 1
    assert covered.max() == 1


def test_long_and_hostile_labels_are_cut_to_one_line():
    for label in ("x" * 5000, "a\nb\r\n\tc" * 40, "<b>&" * 50):
        drawn = label_pixels((200, 150), [DrawnBox((40, 60, 160, 120), "truth", label)])
        rows, columns = np.nonzero(drawn)
        assert rows.max() - rows.min() < 25
        assert columns.max() < 200


def test_a_picture_too_small_for_words_gets_none():
    assert not label_pixels((6, 6), [DrawnBox((1, 1, 5, 5), "truth", "dog")]).any()


def test_a_thumbnail_is_scaled_down_and_never_up():
    assert thumbnail(photo(400, 300), 200).size == (200, 150)
    assert thumbnail(photo(300, 400), 200).size == (150, 200)
    assert thumbnail(photo(1000, 2), 100).size == (100, 1)
    small = photo(100, 80)
    same = thumbnail(small, 200)
    assert same.size == (100, 80)
    assert same is not small


def test_webp_is_the_same_every_time_and_says_nothing_but_pixels():
    picture = composite(photo(), np.eye(7), [DrawnBox((40, 30, 160, 120), "truth", "dog")])
    with_notes = picture.copy()
    with_notes.info.update(exif=b"Exif\x00\x00secret", icc_profile=b"secret", comment=b"secret")
    data = encode_webp(picture, 80)
    assert data == encode_webp(with_notes, 80)
    read = Image.open(io.BytesIO(data))
    assert (read.format, read.mode, read.size) == ("WEBP", "RGB", (200, 150))
    difference = np.asarray(read).astype(int) - np.asarray(picture)
    assert np.abs(difference).mean() < 6
    assert len(encode_webp(picture, 20)) < len(data)


def test_webp_keeps_transparency():
    ramp = np.tile(np.linspace(0, 1, 64), (64, 1))
    layer = heat_overlay(ramp, (64, 64))
    read = Image.open(io.BytesIO(encode_webp(layer, 60)))
    assert read.mode == "RGBA"
    assert np.abs(np.asarray(read)[..., 3].astype(int) - np.asarray(layer)[..., 3]).max() < 12


STYLE = (Path(__file__).resolve().parents[2] / "templates/style.css").read_text(encoding="utf-8")


def test_the_legend_of_the_page_has_the_colours_of_the_overlay():
    gradient = re.search(r"^\.heat \{.*linear-gradient\(to right, (.*)\);", STYLE, re.MULTILINE)[1]
    stops = re.findall(r"rgb\((\d+) (\d+) (\d+) / ([\d.]+)\)", gradient)
    layer = np.asarray(heat_overlay(np.linspace(0, 1, len(stops))[None], (1, len(stops))))[0]
    assert len(stops) >= 4
    for stop, (*colour, alpha) in zip(stops, layer.tolist(), strict=True):
        assert [int(value) for value in stop[:3]] == colour
        assert float(stop[3]) == pytest.approx(alpha / 255, abs=0.005)


@pytest.mark.parametrize("role", ["truth", "missed", "detection", "other"])
def test_a_role_has_one_colour_on_the_page_and_in_pictures(role):
    stated = re.findall(rf"--{role}: rgb\((\d+) (\d+) (\d+)\);", STYLE)
    assert stated == [tuple(map(str, pictures._STROKES[role].colour))]


def test_a_colour_of_the_heat_map_is_read_off_at_the_colour_bar():
    bar = np.asarray(colour_bar(101, "0", "peak"))
    assert bar.shape[0] == 101
    for value in (0.0, 0.25, 0.5, 1.0):
        colour = np.asarray(heat_picture(np.full((3, 3), value), (20, 30)))
        assert colour.shape == (20, 30, 3)
        assert (colour == colour[0, 0]).all()
        row = bar[round(100 * (1 - value)), :8].astype(int)
        assert np.abs(row - colour[0, 0]).max() <= 1
    lightness = bar[:, 0].astype(int).sum(axis=1)
    assert (np.diff(lightness) <= 0).all() and lightness[0] > lightness[-1] + 300
    words = (bar[:, 9:] < 128).all(axis=2).any(axis=1)
    assert words[:20].any() and words[-20:].any() and not words[25:75].any()


def test_the_heat_map_refuses_what_is_no_map():
    with pytest.raises(ValueError, match=r"\(2, 2\)"):
        heat_picture(np.full((2, 2), 1.5), (10, 10))


def test_pictures_stand_side_by_side_at_one_height():
    red, blue = Image.new("RGB", (100, 200), "red"), Image.new("RGB", (150, 100), "blue")
    row = side_by_side([red, blue])
    assert row.size == (50 + 4 + 150, 100)
    pixels = np.asarray(row)
    assert (pixels[:, :50] == (255, 0, 0)).all()
    assert (pixels[:, 50:54] == 255).all()
    assert (pixels[:, 54:] == (0, 0, 255)).all()


def test_captions_stand_below_their_pictures_and_leave_them_alone():
    row = side_by_side([photo(120, 100), photo(120, 100)], ["CAM", "a caption much too long for its picture"])
    assert row.height > 100
    pixels = np.asarray(row)
    assert (pixels[:100, :120] == GREY).all()
    dark = (pixels[100:] < 128).all(axis=2)
    assert dark[:, :120].any()
    assert dark[:, 124:].any()
    assert not dark[:, 120:124].any()


def test_side_by_side_refuses_nothing_and_too_few_captions():
    with pytest.raises(ValueError, match="picture"):
        side_by_side([])
    with pytest.raises(ValueError, match=r"1 .*2"):
        side_by_side([photo(), photo()], ["one"])


def test_the_dark_halo_separates_a_box_from_a_photograph_of_its_own_colour():
    bright = Image.new("RGB", (200, 150), TRUTH)
    picture = composite(bright, None, [DrawnBox((40, 30, 160, 120), "truth")])
    assert changed(picture, bright).sum() > 2 * (120 + 90)


def test_on_a_real_photograph_the_pixels_away_from_the_drawing_stay(real_data):
    path = sorted((real_data / "voc2007" / "JPEGImages").glob("*.jpg"))[0]
    original = Image.open(path).convert("RGB")
    width, height = original.size
    box = (width * 0.3, height * 0.3, width * 0.7, height * 0.7)
    picture = composite(original, None, [DrawnBox(box, "truth"), DrawnBox(box, "detection")])
    mask = Image.new("L", original.size)
    outer = [round(side) for side in box]
    ImageDraw.Draw(mask).rectangle((outer[0] - 1, outer[1] - 1, outer[2], outer[3]), outline=1, width=8)
    assert not (changed(picture, original) & (np.asarray(mask) == 0)).any()


def test_a_picture_is_made_to_fit_its_budget():
    noise = np.random.default_rng(3).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    noisy, plain = Image.fromarray(noise), Image.new("RGB", (120, 90), (90, 120, 60))
    assert pictures.encode_webp_within(plain, 20_000) == pictures.encode_webp(plain, 80)
    whole = len(pictures.encode_webp(noisy, 80))
    fitted = pictures.encode_webp_within(noisy, whole // 2)
    assert len(pictures.encode_webp(noisy, 5)) < len(fitted) <= whole // 2
    assert pictures.encode_webp_within(noisy, 1) == pictures.encode_webp(noisy, 5)
