"""Statements of the report that were once false or misleading, each held against a record."""

import copy
import re
from html.parser import HTMLParser

import pytest

from report.pipeline.methods import GRAD_CAM_REFERENCE, METHODS
from report.pipeline.stages.figures import STYLES
from report.record.io import json_schema
from report.record.words import TYPE_TITLES
from report.render.loader import templates_folder
from tests.support.pages import Page, restated, written
from tests.support.runs import change_record, record_of

NAMES = ("report.html", "report.md")


def words_of(texts: dict[str, str]) -> list[str]:
    return [Page(texts["report.html"]).text, texts["report.md"]]


def texts_of(run) -> list[str]:
    return words_of(restated(run))


def test_identity_by_construction_is_not_called_a_measurement(finished):
    """CAM and Grad-CAM come from one product; measured is plain automatic differentiation (A1, A15)."""
    record = record_of(finished)
    check = record["evidence"]["gradient_check"]
    assert check["n_images"] == 24 and check["within"]
    assert 0 < check["largest_difference"] <= check["tolerance"], "two ways to compute differ by rounding"
    text = Page(written(finished)["report.html"]).text
    assert "identical by construction" in text
    assert f"on {check['n_images']} images, Grad-CAM by plain automatic differentiation" in text
    assert not any("cam" in figure["name"].split("_")[-1:] for figure in record["figures"])


def test_a_head_that_is_not_linear_is_named(copied):
    """CAM is undefined behind such a head, and the report says so (A2)."""

    def change(record):
        record["evidence"]["head"].update(type="LogOddsHead", linear=False)

    change_record(copied, change)
    for text in texts_of(copied):
        assert "LogOddsHead" in text and "CAM in the original sense is undefined" in text
        assert "CAM (linearised head)" in text and "row CAM" not in text and "row *CAM*" not in text
        assert "identical by construction" not in text


def test_training_is_described_by_the_model(copied):
    """What the classifier was trained on comes from its source, not from a template (A3)."""
    change_record(copied, lambda record: record["model"].update(source="118 breeds pooled into one output"))
    for text in texts_of(copied):
        assert "118 breeds pooled into one output" in text and "trained with image labels only" not in text


def test_pooled_classes_are_counted(copied):
    """What "probability of a dog" means is said where breeds are added up (A3)."""
    assert not any("pooled into" in text for text in words_of(written(copied)))
    change_record(copied, lambda record: record["evidence"]["head"].update(n_pooled=118, n_outputs=1000))
    for text in texts_of(copied):
        assert re.search(r"118 of its 1\s000 classes are pooled into", text)
        assert re.search(r"sum of the softmax over 118 of 1\s000 classes", text)


def test_a_map_may_find_what_the_classifier_misses(finished):
    """Wrong label and right place do occur (A4)."""
    for name, text in written(finished).items():
        assert "no map can find" not in text, name


def share(count: int, total: int) -> tuple[float, float]:
    """The Wilson interval at 95 %, by its formula."""
    z = 1.959963984540054
    p = count / total
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z * (p * (1 - p) / total + z * z / (4 * total * total)) ** 0.5 / (1 + z * z / total)
    return max(0.0, centre - half), min(1.0, centre + half)


def intervals_of(part, found=None) -> list[dict]:
    found = [] if found is None else found
    for value in part.values() if isinstance(part, dict) else part:
        if isinstance(value, dict) and {"value", "interval"} <= value.keys():
            found.append(value)
        elif isinstance(value, dict | list):
            intervals_of(value, found)
    return found


def test_none_and_all_have_an_interval_with_a_width(finished):
    """A bootstrap interval of a zero count has no width (A5)."""
    record = record_of(finished)
    rows = [row for group in record["breakdowns"]["breakdowns"] for row in group["rows"]]
    ends = [row for row in rows if row["n_found"] in (0, row["n_objects"])]
    assert ends
    for row in ends:
        interval = row["recall"]["interval"]
        if row["n_objects"] < 5:
            assert interval is None
        else:
            low, high = share(row["n_found"], row["n_objects"])
            assert (interval["low"], interval["high"]) == pytest.approx((low, high), abs=1e-9)
    for row in [record["operating_point"], *record["detection"]["thresholds"]]:
        for name in ("precision", "recall"):
            interval = row[name]["interval"]
            assert interval is None or interval["low"] is None or interval["low"] < interval["high"], row
    assert "0.0\u202f% (0.0\xa0to\xa00.0\u202f%)" not in written(finished)["report.md"]


def test_another_object_is_the_one_under_the_peak(finished):
    """The class in the caption is that of the smallest object under the map's peak (A6)."""
    import numpy as np

    from report.pipeline.shared.cases import class_under_peak

    heat = np.zeros((100, 100), dtype=np.float32)
    heat[30, 40] = 1.0
    boxes = np.array([[0, 0, 100, 100], [30, 20, 50, 40], [60, 60, 90, 90]], dtype=float)
    names = ["sofa", "cat", "chair"]
    assert class_under_peak(heat, np.array([0.0, 0, 100, 100]), boxes, names) == "cat"
    assert class_under_peak(heat, np.array([55.0, 55, 95, 95]), boxes, names) in ("sofa", "chair")
    assert class_under_peak(heat, np.array([0.0, 0, 100, 100]), boxes[2:], names[2:]) is None


def test_it_is_not_said_that_every_comparison_is_a_claim(finished):
    """Tables compare too (A8)."""
    for text in written(finished).values():
        assert "Every sentence" not in text


def test_the_text_below_the_heading_of_a_failure_type_begins_with_a_capital(finished):
    record = record_of(finished)
    titles = [TYPE_TITLES[row["type"]] for row in record["failures"]["types"] if row["items"]]
    assert titles
    for name, text in written(finished).items():
        for title in titles:
            found = re.search(rf"(?:<h3 [^>]*>|### ){title}(?:</h3>)?\s+(?:<p>)?(.)", text)
            assert found and found[1].isupper(), (name, title)


def test_a_miss_says_why(finished):
    """Below the threshold, by how much; or on another object; and the missed one is drawn apart (A11)."""
    record = record_of(finished)
    point = record["operating_point"]["score_threshold"]
    missed = next(row for row in record["failures"]["types"] if row["type"] == "missed")["items"]
    assert missed
    for item in missed:
        assert [box["role"] for box in item["boxes"]].count("missed") == 1
        kept = [box for box in item["boxes"] if box["role"] in ("detection", "other")]
        if item["reason"] == "below_threshold":
            assert item["top_score"] < point and not kept
            assert [box["role"] for box in item["boxes"]].count("below") == 1
        elif item["reason"] == "empty_map":
            assert item["top_score"] is None
        else:
            assert kept
    text = written(finished)["report.md"]
    below = next(item for item in missed if item["reason"] == "below_threshold")
    assert f"highest score {below['top_score']:.3f}, below the threshold {point:.3f}: no box kept." in text


def test_what_a_figure_leaves_out_is_listed(finished):
    """Every method is drawn, or named as identical to one that is (A12)."""
    record = record_of(finished)
    figure = next(each for each in record["figures"] if each["name"] == "precision_recall")
    drawing = (finished / figure["path"]).read_text(encoding="utf-8")
    text = Page(written(finished)["report.html"]).text
    for method in record["detection"]["methods"]:
        drawn = f">{method['title']}<" in drawing
        named = re.search(rf"Not shown, identical to [^.]*{re.escape(method['title'])}", text)
        assert drawn or named, method["title"]


def test_only_methods_have_the_colours_of_methods(finished):
    """One colour a method: what is no method, such as images with and without the class, is neutral."""
    record = record_of(finished)
    main = record["operating_point"]["method"]
    [colour] = [each["colour"] for each in record["detection"]["methods"] if each["name"] == main]
    of_methods = {"precision_recall", "estimates", "fine_ap", "overlaps", "sweeps"}
    others = [each for each in record["figures"] if each["name"] not in of_methods]
    assert {"reliability", "score_overlap", "probabilities", "sanity_pixels"} <= {
        each["name"] for each in others
    }
    for figure in others:
        drawing = (finished / figure["path"]).read_text(encoding="utf-8")
        assert set(re.findall(r"--series-\d", drawing)) <= {f"--series-{colour + 1}"}, figure["name"]
    style = (templates_folder() / "style.css").read_text(encoding="utf-8")
    assert set(re.findall(r"var\(--series-\d\)", style)) == {f"var(--series-{colour + 1})"}


def test_the_images_of_the_last_sanity_check_are_counted(copied):
    """The other checks use a sample of the images; this one uses every image with the class."""
    assert record_of(copied)["sanity"]["checks"][-1]["name"] == "centre_box"
    change_record(copied, lambda record: record["data"]["reported"].update(n_target_images=47))
    for text in texts_of(copied):
        assert "the last check uses all 47 images with a dog" in text


def test_a_part_of_a_split_is_called_one(copied):
    """The first images of a list are not the split (A13)."""
    assert "first 16 of" not in written(copied)["report.md"]
    change_record(copied, lambda record: record["data"]["tuning"].update(n_listed=2500))
    for text in texts_of(copied):
        assert re.search(r"first 16 of 2\s500", text)


def test_accuracy_has_its_trivial_baseline(finished):
    """97 % say little where 91 % of the images show no dog (A14)."""
    record = record_of(finished)
    decision, reported = record["evidence"]["decision"], record["data"]["reported"]
    share_with = reported["n_target_images"] / reported["n_images"]
    assert decision["majority_accuracy"] == pytest.approx(max(share_with, 1 - share_with))
    rates = decision["true_positive_rate"]["value"], decision["false_positive_rate"]["value"]
    assert decision["balanced_accuracy"]["value"] == pytest.approx((rates[0] + 1 - rates[1]) / 2)
    text = Page(written(finished)["report.html"]).text
    assert '(always "no dog": ' in text and "balanced accuracy" in text


def test_masks_are_spoken_of_only_if_there_are_some(copied):
    """Pseudo-labels are noisy, and masks may be missing (A16)."""
    assert all("and masks as noisy pseudo-labels" in text for text in words_of(written(copied)))

    def change(record):
        record["segmentation"], record["pictures"]["masks"] = None, []

    change_record(copied, change)
    for text in texts_of(copied):
        assert "; no masks" in text
        assert "boxes as noisy pseudo-labels" in text and "masks as noisy" not in text
        assert "Random-walker" not in text


def test_a_drawn_scene_is_not_called_a_photograph(copied):
    """Synthetic scenes are images (A17)."""

    def change(record):
        record["data"].update(kind="sample", name="sample", sample_seed=2007)
        for row in record["failures"]["types"]:
            for item in row["items"]:
                item["image_id"] = "x"

    change_record(copied, change)
    texts = restated(copied)
    page = re.sub(r'="data:[^"]*"', "", texts["report.html"].split('<script type="application/json"')[0])
    page = page.split("<body>")[1]
    for text in (page, texts["report.md"]):
        found = re.findall(r"[^.]*photograph[^.]*", text, re.IGNORECASE)
        assert [each for each in found if "real photographs" not in each] == []
        assert "synthetic scenes" in text


def test_numbers_over_different_images_say_so(finished):
    """The columns of one row are over different sets of images (A18)."""
    text = Page(written(finished)["report.html"]).text
    assert "over all test images" not in text
    assert "over the images in which neither map is zero everywhere" in text
    assert "an empty map counted as zero" in text


def test_empty_maps_of_the_checks_are_counted_where_they_pass(copied):
    """A check over few non-empty maps says so in its line (A19)."""

    def change(record):
        record["sanity"]["depths"][-1].update(n_empty=40, n_maps=60)

    change_record(copied, change)
    for text in texts_of(copied):
        assert len(re.findall(r"40 of 60 maps zero, left out", text)) == 2


def test_an_inverted_map_passes_no_check(finished):
    """The limit of similarity holds for both signs (A19)."""
    checks = {check["name"]: check for check in record_of(finished)["sanity"]["checks"]}
    for name in ("randomised_spearman", "randomised_ssim"):
        ends, mark = checks[name]["value"]["interval"], checks[name]["limit"]
        assert checks[name]["rule"] == "within"
        assert checks[name]["passed"] == (max(abs(ends["low"]), abs(ends["high"])) < mark)
    assert "within\N{NO-BREAK SPACE}±0.5" in written(finished)["report.md"]


def test_baselines_have_their_geometry(finished):
    """The centre box covers half of the image area; the Gaussian has its width (A20)."""
    for text in words_of(written(finished)):
        assert "centred and covering half the image area" in text
        assert "standard deviation: a quarter of each side" in text


def test_multiplicity_and_fixed_thresholds_are_said(finished):
    """(A21)"""
    for text in words_of(written(finished)):
        assert "thresholds held fixed" in text
        assert "no correction is made for the number of comparisons" in text


def test_the_ring_has_its_own_score(finished):
    """A score beside the ring must be the ring's (A22)."""
    record = record_of(finished)
    figure = next(each for each in record["figures"] if each["name"] == "precision_recall")
    drawing = (finished / figure["path"]).read_text(encoding="utf-8")
    assert f">{record['operating_point']['score_threshold']:.3f}<" in drawing


def test_the_edge_of_the_grid_is_told(copied):
    """A chosen value at the edge of what was searched is no optimum (A23)."""

    def change(record):
        lowest = min(row["cam_threshold"] for row in record["tuning"][0]["rows"])
        record["tuning"][0]["cam_threshold"] = lowest

    said = [text.count("(lowest value searched)") for text in words_of(written(copied))]
    already = [each["cam_threshold"] == 0.05 for each in record_of(copied)["tuning"]].count(True)
    assert said == [already, already]
    change_record(copied, change)
    at_edge = [each["cam_threshold"] == 0.05 for each in record_of(copied)["tuning"]].count(True)
    assert at_edge >= 1
    assert [text.count("(lowest value searched)") for text in texts_of(copied)] == [at_edge, at_edge]


def test_training_images_are_warned_of(copied):
    plain = words_of(written(copied))
    assert not any("Warning: evaluated on training data" in text for text in plain)
    before = copy.deepcopy(record_of(copied)["data"])
    for split, words in (("reported", "evaluated on training data"), ("tuning", "chosen on training data")):
        change_record(copied, lambda record, split=split: record["data"][split].update(learned_from=True))
        assert all(f"{words}" in text for text in texts_of(copied))
        change_record(copied, lambda record: record.update(data=before))


PRIVATE = (
    "mended", "told apart", "hangs", "nought", "surest", "looked at", "dealt out", "best-scored",
    "in question", "leaked", "speaks for", "told rightly", "look-alike", "look alike",
    "where it is customary", "must be",
    "right place", "right label", "show nothing", "best box", "first box", "what comes of",
    "older numpy order", "for want of", "cut at", "the cut", "wrong box", "right box", "so that you",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_private_word_is_left(finished, name):
    """Terms of the field, not pictures of them."""
    text = written(finished)[name]
    text = Page(text).text.split('{"schema_version"')[0] if name.endswith("html") else text
    assert private_words(text) == []


def private_words(text: str) -> list[str]:
    return [word for word in PRIVATE if re.search(rf"\b{word}\b", text, re.IGNORECASE)]


def test_no_private_word_describes_the_record():
    assert private_words(json_schema()) == []


class OpenProse(HTMLParser):
    """Counts the words of a page's prose that are not folded, without tables, captions and controls."""

    SKIPPED = frozenset({"svg", "style", "script", "table", "figure", "details", "nav", "form"})

    def __init__(self) -> None:
        super().__init__()
        self.depth = self.n_words = 0

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.depth += tag in self.SKIPPED

    def handle_endtag(self, tag: str) -> None:
        self.depth -= tag in self.SKIPPED

    def handle_data(self, data: str) -> None:
        self.n_words += len(data.split()) if not self.depth else 0


def open_words(page: str) -> int:
    reader = OpenProse()
    reader.feed(page.split("<main")[1].split("</main>")[0])
    assert reader.depth == 0
    return reader.n_words


def test_what_is_open_is_short(finished):
    page = written(finished)["report.html"]
    assert open_words(page) <= 2000
    answers = Page(page.split('id="four-questions"')[1].split("<details")[0]).text
    assert len(answers.split()) <= 450


def test_answers_are_ordered_by_what_is_at_stake(finished):
    page = written(finished)["report.html"].split('id="four-questions"')[1].split("<details")[0]
    points = [float(value) for value in re.findall(r'<li><strong>.*?<data value="([^"]*)"', page)]
    types = record_of(finished)["failures"]["types"]
    expected = [row["ap_gain"]["value"] for row in types if row["n_detections"] or row["n_missed"]]
    assert points == sorted(expected, reverse=True) and len(points) > 2


def test_the_markdown_version_is_folded(finished):
    """A third of the 642 lines that it once had, without what is in `details`."""
    text = written(finished)["report.md"]
    open_lines = re.sub(r"<details.*?</details>\n*", "", text, flags=re.DOTALL).splitlines()
    assert len(open_lines) <= 214
    assert text.count("<details") == text.count("</details>") > 10
    # A picture that follows prose without a blank line would be set into the prose.
    assert re.search(r"[^\n]\n(?:<picture|!\[)", text) is None


def test_a_merged_box_counts_what_it_covers(copied):
    """An image may show more objects than those that the box is around."""

    def change(record):
        row = next(row for row in record["failures"]["types"] if row["items"])
        row["items"][0].update(type="merged", subject="detection", n_truths=5, n_merged=2, score=0.5, iou=0.3)

    change_record(copied, change)
    assert all("one box around 2 dogs (best IoU 0.30)" in text for text in texts_of(copied))


def test_a_reason_is_given_only_for_a_difference_that_is_shown(copied):
    """That averaging loses at the earlier layer is said only if what does not average is better there."""
    pairs = []

    def change(record, low, high):
        for each in record["detection"]["comparisons"]:
            if each["a"] == "grad_cam_earlier" and each["b"] == "layer_cam_earlier":
                interval = {"low": low, "high": high, "level": 0.95}
                each["difference"].update(value=(low + high) / 2, interval=interval)
                pairs.append(each)
            elif each["a"] == "grad_cam_earlier":
                each["difference"].update(value=0.0, interval={"low": -0.1, "high": 0.1, "level": 0.95})

    for (low, high), said in (((-0.2, -0.1), True), ((-0.1, 0.2), False), ((0.1, 0.2), False)):
        change_record(copied, lambda record, ends=(low, high): change(record, *ends))
        for text in texts_of(copied):
            assert ("A likely reason" in text) == said == ("; LayerCAM does not." in text)
            assert "; HiResCAM does not." not in text
    assert pairs


def test_the_score_is_not_called_a_ranking_of_images_where_it_is_none(copied):
    """The page states how many boxes have the image probability as score, and no more (A10)."""
    change_record(copied, lambda record: record["evidence"]["score"].update(n_equal=1))
    n_boxes = record_of(copied)["evidence"]["score"]["n_boxes"]
    for text in texts_of(copied):
        assert f"itself as score: 1 of {n_boxes} boxes" in text and "ranking of images" not in text
        assert "The score ranks images" not in text


def test_the_tolerance_of_the_pointing_game_is_in_the_answer(copied):
    """A peak next to a dog counts too, so the answer may not say that it is on the dog."""
    change_record(copied, lambda record: record["localisation"].update(tolerance=23))
    assert all("The map's peak is within 23 pixels of a dog" in text for text in texts_of(copied))


def test_the_images_of_the_masks_are_counted(copied):
    def change(record):
        for each in record["pictures"]["masks"]:
            each["picked_from"] = 7

    change_record(copied, change)
    text = Page(restated(copied)["report.html"]).text
    assert "worst by IoU of the first 7 images with a dog and a pseudo-mask" in text


def test_each_method_has_the_style_of_the_figures_on_the_page(finished):
    page = (finished / "report.html").read_text(encoding="utf-8")
    rules = dict(re.findall(r"^\.m-([a-z-]+) \{ (--method: .*) \}$", page, re.MULTILINE))
    assert rules == {
        name.replace("_", "-"): f"--method: var(--series-{style.colour + 1}); "
        f"--dash: var(--dash-{style.dash}); --border: var(--border-{style.dash});"
        for name, style in STYLES.items()
        if METHODS[name].kind != "preset" and name != GRAD_CAM_REFERENCE
    }
    for style in STYLES.values():
        assert all(f"--{name}-{style.dash}: " in page for name in ("dash", "border"))


def test_identical_methods_are_named_once(finished):
    """Methods of one map have one row and one curve; the others are named (B4)."""
    text = written(finished)["report.md"]
    assert "Not shown, identical to Grad-CAM: CAM, Grad-CAM (sigmoid gradient)." in text
    assert not re.search(r"^\| \**CAM\** \||^\| Grad-CAM \(sigmoid", text, re.MULTILINE)


def test_overlap_is_a_decimal_everywhere(finished):
    """IoU is never in percent (B9)."""
    record, text = record_of(finished), written(finished)["report.md"]
    for row in record["segmentation"]["rows"]:
        assert f"| {row['iou']['value']:.3f} (" in text
    group = record["breakdowns"]["breakdowns"][0]["rows"][0]
    rows = text.split("| property | group |")[1].splitlines()
    shown = rows[2].split("|")[-2]
    assert f"{group['overlap']['value']:.2f}" in shown and "%" not in shown
