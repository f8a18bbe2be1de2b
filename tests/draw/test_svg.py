"""SVG text: well-formed, the same every time, and safe beside other SVGs and inside any page."""

import itertools
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from dogcam.draw.plots import (
    CountRow,
    EstimateGroup,
    EstimateRow,
    OperatingMark,
    PrecisionRecallPanel,
    Series,
    SweepPanel,
    agreement_figure,
    counts_figure,
    estimates_figure,
    precision_recall_figure,
    score_figure,
    sweep_figure,
)
from dogcam.draw.svg import DARK, INK, SERIES, VARIABLES, drawing_style, to_svg

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "\"><script>alert(1)</script>&amp; $x_1$ ' #0072b2 url(#p1)"


def saw(steps, scale=1.0):
    hits = np.arange(steps) % 3 == 0
    return np.cumsum(hits) / hits.sum(), scale * np.cumsum(hits) / np.arange(1, steps + 1)


def figures():
    """One figure of every kind."""
    curves = [Series(f"method {k}", *saw(3000, 1 - k / 9)) for k in range(6)]
    curves.append(Series("centre box", [0.6], [0.04], "points"))
    mark = OperatingMark("method 1", 0.4, 0.5)
    panels = [PrecisionRecallPanel(iou, curves, mark) for iou in (0.3, 0.4, 0.5)]
    groups = [
        EstimateGroup(iou, [EstimateRow("CAM", iou, iou - 0.1, iou + 0.1), EstimateRow("none", None)])
        for iou in (0.3, 0.4, 0.5)
    ]
    points = np.random.default_rng(1).random((2, 3000))
    return {
        "curves": precision_recall_figure(panels),
        "estimates": estimates_figure(groups),
        "sweep": sweep_figure(
            [SweepPanel("CAM", [Series("IoU > 0.3", [0.1, 0.2, 0.3], [0.2, 0.4, 0.3])], 0.2)]
        ),
        "counts": counts_figure([CountRow("missed", (0, 4)), CountRow("merged", (3, 2))], ("a", "b")),
        "agreement": agreement_figure(*points, a_label="CAM", b_label="Grad-CAM"),
        "score": score_figure([0.9, 0.8], [0.1, 0.2, 0.3], 0.5, target="dog"),
    }


@pytest.fixture(scope="module")
def drawings():
    return figures()


@pytest.fixture(scope="module")
def pages(drawings):
    return {name: to_svg(figure, name=name, alt=f"about {name}") for name, figure in drawings.items()}


def styles(text):
    return [element.get("style", "") for element in ET.fromstring(text).iter()]


@pytest.mark.slow
def test_saving_does_not_change_a_figure(drawings, pages):
    for name, figure in drawings.items():
        assert to_svg(figure, name=name, alt=f"about {name}") == pages[name], name


@pytest.mark.slow
def test_equal_figures_give_equal_text(pages):
    for name, figure in figures().items():
        assert to_svg(figure, name=name, alt=f"about {name}") == pages[name], name


@pytest.mark.slow
def test_another_process_with_another_matplotlibrc_gives_the_same_text(tmp_path):
    (tmp_path / "matplotlibrc").write_text("font.size: 23\nsvg.fonttype: path\naxes.grid: False\n")
    script = (
        "from dogcam.draw.plots import CountRow, counts_figure\n"
        "from dogcam.draw.svg import to_svg\n"
        "print(to_svg(counts_figure([CountRow('missed', (3,))]), name='c', alt='a'), end='')\n"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed, **more},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, more in (("1", {}), ("2", {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc")}))
    }
    assert texts == {to_svg(counts_figure([CountRow("missed", (3,))]), name="c", alt="a")}


def test_drawing_leaves_the_global_settings_alone():
    before = dict(mpl.rcParams)
    to_svg(counts_figure([CountRow("missed", (3,))]), name="c", alt="a")
    assert dict(mpl.rcParams) == before


def test_every_drawing_is_small(pages):
    assert {name: len(text) for name, text in pages.items() if len(text) >= 60_000} == {}


def test_the_root_can_be_inlined_and_scales(pages):
    for name, text in pages.items():
        assert text.startswith("<svg "), name
        root = ET.fromstring(text)
        assert root.get("role") == "img"
        assert root.get("aria-label") == f"about {name}"
        assert root.get("width") is root.get("height") is None
        width = float(root.get("viewBox").split()[2]) * 4 / 3
        assert f"max-width: {width:.0f}px; height: auto; font-family: inherit" in root.get("style")


def test_nothing_in_it_reaches_out_of_it(pages):
    for text in pages.values():
        tags = {element.tag.removeprefix(SVG) for element in ET.fromstring(text).iter()}
        assert tags <= {"svg", "g", "path", "use", "text", "defs", "clipPath", "rect"}
        assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]


def test_ids_are_the_figures_own_and_every_reference_is_met(pages):
    seen = []
    for name, text in pages.items():
        ids = [element.get("id") for element in ET.fromstring(text).iter() if element.get("id")]
        references = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text)
        assert {a or b for a, b in references} == set(ids)
        assert all(re.fullmatch(rf"{name}-\d+", one) for one in ids), name
        seen += ids
    assert len(seen) == len(set(seen))
    assert len(seen) > len(pages)


def test_on_a_page_every_colour_is_a_variable_with_its_fallback(pages):
    for colour in {match for text in pages.values() for match in re.findall(r"#[0-9a-fA-F]{6}", text)}:
        assert colour in VARIABLES
    for name, text in pages.items():
        bare = re.sub(r"var\((--[a-z0-9-]+), (#[0-9a-f]{6})\)", "", text)
        assert re.findall(r"#[0-9a-fA-F]{6}|rgb\(|black|white", bare) == [], name
        for variable, colour in re.findall(r"var\((--[a-z0-9-]+), (#[0-9a-f]{6})\)", text):
            assert VARIABLES[colour] == variable


def test_no_text_is_left_to_the_default_black_or_to_a_font_of_the_program(pages):
    for text in pages.values():
        for element in ET.fromstring(text).iter(f"{SVG}text"):
            assert "fill: var(--" in element.get("style")
            assert "font-size: " in element.get("style")
        assert "DejaVu" not in text


@pytest.mark.parametrize(("theme", "paper"), [("standalone", "#ffffff"), ("dark", "#0d1117")])
def test_a_file_of_its_own_is_the_same_drawing_with_fixed_colours(drawings, pages, theme, paper):
    for name, figure in drawings.items():
        text = to_svg(figure, name=name, alt="a", theme=theme)
        assert "var(" not in text
        root = ET.fromstring(text)
        assert float(root.get("width")) > 300
        assert float(root.get("height")) > 100
        assert root[0].tag == f"{SVG}rect" and root[0].get("fill") == paper
        words = [element.text for element in root.iter(f"{SVG}text")]
        assert words == [element.text for element in ET.fromstring(pages[name]).iter(f"{SVG}text")]
        paths = [element.get("d") for element in root.iter(f"{SVG}path")]
        assert paths == [element.get("d") for element in ET.fromstring(pages[name]).iter(f"{SVG}path")]


def test_the_dark_colours_are_those_of_the_page():
    """The style sheet has each colour twice, light and dark; so has the palette."""
    style = (Path(__file__).resolve().parents[2] / "templates" / "style.css").read_text(encoding="utf-8")
    pairs = dict(re.findall(r"(--[a-z0-9-]+): light-dark\((#[0-9a-f]{6}, #[0-9a-f]{6})\);", style))
    for colour, variable in VARIABLES.items():
        assert pairs[variable] == f"{colour}, {DARK[colour]}"


def test_the_page_shows_through(pages):
    for text in pages.values():
        first = ET.fromstring(text).find(f"{SVG}g").find(f".//{SVG}path")
        assert "fill: none" in first.get("style")


def test_hostile_words_stay_words():
    figure = counts_figure([CountRow(HOSTILE, (1,))])
    for theme in ("page", "standalone"):
        text = to_svg(figure, name="c", alt=HOSTILE, theme=theme)
        root = ET.fromstring(text)
        assert root.get("aria-label") == HOSTILE
        assert "<script" not in text
        written = " ".join(element.text for element in root.iter(f"{SVG}text"))
        for word in ("alert(1)", "$x_1$", "#0072b2", "url(#p1)"):
            assert word in written


def test_coordinates_are_rounded_to_a_hundredth(pages):
    for text in pages.values():
        for element in ET.fromstring(text).iter():
            for key in ("d", "x", "y"):
                assert not re.search(r"\.\d{3}|[eE]", element.get(key, "")), element.get(key)


def test_a_bold_shorthand_keeps_its_weight():
    with drawing_style():
        figure = Figure()
        figure.text(0.5, 0.5, "heavy", fontweight="bold", fontsize=12)
    (text,) = ET.fromstring(to_svg(figure, name="t", alt="a")).iter(f"{SVG}text")
    assert re.search(r"font-weight: (bold|700)", text.get("style"))
    assert "font-size: 12px" in text.get("style")


def test_a_colour_that_is_not_of_the_palette_is_refused():
    with drawing_style():
        figure = Figure()
        figure.text(0.5, 0.5, "x", color="#123456")
    with pytest.raises(ValueError, match="#123456"):
        to_svg(figure, name="c", alt="a")


@pytest.mark.parametrize("name", ["", "1st", 'a"b', "a b", "-a"])
def test_a_name_that_cannot_begin_an_id_is_refused(name):
    with pytest.raises(ValueError, match=re.escape(repr(name))):
        to_svg(Figure(), name=name, alt="a")


def test_an_unknown_theme_is_refused():
    with pytest.raises(ValueError, match="'sepia'"):
        to_svg(Figure(), name="a", alt="a", theme="sepia")


def lightness_and_opponents(rgb):
    """CIE L*a*b* of a linear RGB triple (sRGB primaries, D65)."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratios = to_xyz @ np.clip(rgb, 0, 1) / [0.9505, 1.0, 1.089]
    bent = np.where(ratios > 0.008856, np.cbrt(ratios), 7.787 * ratios + 16 / 116)
    return np.array([116 * bent[1] - 16, 500 * (bent[0] - bent[1]), 200 * (bent[1] - bent[2])])


def linear(colour):
    values = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


# Full protanopia and deuteranopia in linear RGB, after Machado, Oliveira and Fernandes (2009).
VISIONS = {
    "common": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    ),
}


@pytest.mark.parametrize("vision", VISIONS)
def test_series_are_told_apart(vision):
    seen = [lightness_and_opponents(VISIONS[vision] @ linear(colour)) for colour in SERIES]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 19


def test_series_and_ink_stand_out_from_white():
    for colour, least in [(INK, 7.0), *((colour, 3.0) for colour in SERIES)]:
        luminance = linear(colour) @ [0.2126, 0.7152, 0.0722]
        assert 1.05 / (luminance + 0.05) > least, colour
