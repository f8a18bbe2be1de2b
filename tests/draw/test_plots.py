"""Figures: the numbers that go in are the numbers that are drawn, and every reader can tell them apart."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex

from dogcam.draw.plots import (
    CountRow,
    EstimateGroup,
    EstimateRow,
    EstimateSection,
    LineStyle,
    OperatingMark,
    PrecisionRecallPanel,
    ScoreMark,
    Series,
    ShareRow,
    SweepPanel,
    agreement_figure,
    bins_figure,
    counts_figure,
    estimates_figure,
    lines_figure,
    precision_recall_figure,
    reliability_figure,
    score_figure,
    score_overlap_figure,
    sections_figure,
    sweep_figure,
)
from dogcam.draw.plots.frame import NARROW_WIDTH
from dogcam.draw.svg import INK, MUTED, PAPER, SERIES

CURVE = Series("CAM", [0.0, 0.5, 1.0], [1.0, 0.9, 0.2])
OTHER = Series("Grad-CAM", [0.1, 0.4], [0.8, 0.3])
BASELINE = Series("centre box", [0.6], [0.04], "points")


def lines_of(axes, label):
    return [line for line in axes.get_lines() if line.get_label() == label]


def legend_words(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def words(axes):
    return [text.get_text() for text in axes.texts]


def tick_words(axes, name):
    axes.figure.draw_without_rendering()
    return [label.get_text() for label in getattr(axes, f"{name}axis").get_ticklabels()]


def inside(figure):
    """Whether everything that is drawn lies on the figure (a pixel of rounding allowed)."""
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    return box.x0 > -0.02 and box.y0 > -0.02 and box.x1 < width + 0.02 and box.y1 < height + 0.02


def test_each_panel_draws_its_curves():
    panels = [PrecisionRecallPanel(0.3, [CURVE, BASELINE]), PrecisionRecallPanel(0.5, [OTHER])]
    figure = precision_recall_figure(panels)
    first, second = figure.axes
    assert [first.get_title(loc="left"), second.get_title(loc="left")] == ["IoU 0.3", "IoU 0.5"]
    (line,) = lines_of(first, "CAM")
    assert line.get_xydata().tolist() == [[0.0, 1.0], [0.5, 0.9], [1.0, 0.2]]
    (line,) = lines_of(second, "Grad-CAM")
    assert line.get_xydata().tolist() == [[0.1, 0.8], [0.4, 0.3]]
    assert legend_words(figure) == ["CAM", "centre box", "Grad-CAM"]


def test_a_band_is_drawn_where_it_is_known():
    low, high = [0.7, 0.6, 0.1, None], [1, 1, 0.6, None]
    curve = Series("CAM", [0.0, 0.5, 0.8, 1.0], [1.0, 0.9, 0.4, 0.2], "line", low, high)
    figure = precision_recall_figure([PrecisionRecallPanel(0.5, [curve, OTHER])])
    (band,) = figure.axes[0].collections
    corners = {(float(x), float(y)) for path in band.get_paths() for x, y in path.vertices.round(6)}
    assert corners == {(0.0, 0.7), (0.0, 1.0), (0.5, 0.6), (0.5, 1.0), (0.8, 0.1), (0.8, 0.6)}


def test_scores_are_named_along_a_curve_where_there_is_room():
    marks = [ScoreMark("0.9", 0.2, 0.9), ScoreMark("0.8", 0.25, 0.9), ScoreMark("0.7", 0.6, 0.5)]
    figure = precision_recall_figure([PrecisionRecallPanel(0.5, [CURVE], None, marks)])
    assert words(figure.axes[0]) == ["0.9", "0.7"]
    assert [text.xy for text in figure.axes[0].texts] == [(0.2, 0.9), (0.6, 0.5)]


def test_a_baseline_of_one_score_is_points_and_not_a_line():
    figure = precision_recall_figure([PrecisionRecallPanel(0.5, [CURVE, BASELINE])])
    (line,) = lines_of(figure.axes[0], "centre box")
    assert line.get_linestyle() == "None"
    assert line.get_marker() not in ("", "None", None)
    (line,) = lines_of(figure.axes[0], "CAM")
    assert line.get_marker() == "None"


def test_a_method_has_one_look_in_all_panels_and_in_the_legend():
    panels = [PrecisionRecallPanel(0.3, [CURVE, OTHER]), PrecisionRecallPanel(0.5, [OTHER, CURVE])]
    figure = precision_recall_figure(panels)
    for number, label in enumerate(["CAM", "Grad-CAM"]):
        drawn = [line for axes in figure.axes for line in lines_of(axes, label)]
        drawn.append(figure.legends[0].get_lines()[number])
        assert len(drawn) == 3
        assert len({(line.get_color(), str(line._dash_pattern)) for line in drawn}) == 1


def test_thirty_methods_differ_in_colour_or_line_style():
    curves = [Series(f"method {k}", [0, 1], [1, k / 30]) for k in range(30)]
    figure = precision_recall_figure([PrecisionRecallPanel(0.5, curves)])
    style = {(line.get_color(), str(line._dash_pattern)) for line in figure.axes[0].get_lines()}
    assert len(style) == 30


def test_neighbouring_methods_differ_in_colour_and_line_style():
    figure = precision_recall_figure([PrecisionRecallPanel(0.5, [CURVE, OTHER])])
    first, second = figure.axes[0].get_lines()
    assert first.get_color() != second.get_color()
    assert first._dash_pattern != second._dash_pattern


def test_the_operating_point_is_a_ring_in_its_methods_colour():
    mark = OperatingMark("Grad-CAM", 0.25, 0.55)
    panels = [PrecisionRecallPanel(0.3, [CURVE, OTHER]), PrecisionRecallPanel(0.5, [CURVE, OTHER], mark)]
    figure = precision_recall_figure(panels)
    ring = figure.axes[1].get_lines()[-1]
    assert ring.get_xydata().tolist() == [[0.25, 0.55]]
    assert ring.get_color() == lines_of(figure.axes[1], "Grad-CAM")[0].get_color()
    assert ring.get_markerfacecolor() == PAPER
    assert len(figure.axes[0].get_lines()) == 2
    assert legend_words(figure) == ["CAM", "Grad-CAM", "operating point"]


def test_an_operating_point_on_no_curve_is_refused():
    with pytest.raises(ValueError, match="'typo'"):
        precision_recall_figure([PrecisionRecallPanel(0.5, [CURVE], OperatingMark("typo", 0.1, 0.1))])


def test_a_curve_without_ground_truth_is_not_drawn():
    empty = Series("CAM", [np.nan, np.nan], [0.0, 0.0])
    figure = precision_recall_figure([PrecisionRecallPanel(0.5, [empty])])
    (line,) = lines_of(figure.axes[0], "CAM")
    assert line.get_xydata().shape == (0, 2)


def test_the_last_panel_is_large_and_left_of_the_others():
    small, also_small, large = precision_recall_figure(
        [PrecisionRecallPanel(iou, [CURVE]) for iou in (0.3, 0.4, 0.5)]
    ).axes
    areas = [axes.get_position().width * axes.get_position().height for axes in (small, also_small, large)]
    assert areas[2] > 3 * max(areas[:2])
    assert large.get_position().x1 < small.get_position().x0
    assert large.get_title(loc="left") == "IoU 0.5"


def test_a_method_keeps_its_colour_wherever_it_is_in_a_figure():
    """One colour for each method in all figures."""
    curve = replace(OTHER, style=LineStyle(4, 2))
    drawn = [
        lines_of(precision_recall_figure([PrecisionRecallPanel(0.5, curves)]).axes[0], "Grad-CAM")[0]
        for curves in ([curve], [CURVE, curve])
    ] + [lines_of(lines_figure([curve], x_label="x", y_label="y").axes[0], "Grad-CAM")[0]]
    assert {line.get_color() for line in drawn} == {SERIES[4]}
    estimates = estimates_figure(
        [EstimateGroup(0.5, [EstimateRow("a", 0.5), EstimateRow("b", 0.2, colour=4)])]
    )
    assert estimates.axes[0].get_lines()[-1].get_color() == SERIES[4]


def test_the_ring_is_labelled_and_no_score_is_beside_it():
    mark = OperatingMark("CAM", 0.5, 0.9, "0.473")
    near = [ScoreMark("0.5", 0.52, 0.9), ScoreMark("0.2", 0.9, 0.3)]
    figure = precision_recall_figure([PrecisionRecallPanel(0.5, [CURVE], mark, near)])
    assert words(figure.axes[0]) == ["0.473", "0.2"]


@pytest.mark.parametrize("draw", [precision_recall_figure, estimates_figure])
def test_no_panel_is_refused(draw):
    with pytest.raises(ValueError, match="panel"):
        draw([])


def test_estimates_draw_dots_whiskers_and_values():
    rows = [EstimateRow("CAM", 0.5, 0.4, 0.65), EstimateRow("published", 0.3), EstimateRow("none", None)]
    figure = estimates_figure([EstimateGroup(0.3, rows), EstimateGroup(0.5, rows)])
    assert len(figure.axes) == 2
    for axes in figure.axes:
        data = [line.get_xydata().tolist() for line in axes.get_lines()]
        assert [[0.4, 0.0], [0.65, 0.0]] in data
        assert [[0.5, 0.0]] in data
        assert [[0.3, 1.0]] in data
        assert words(axes) == ["50.0", "30.0", "–"]
        assert axes.get_xlim() == (0, pytest.approx(0.8))
        # The first row is the upper one.
        assert axes.get_ylim()[0] > axes.get_ylim()[1]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["CAM", "published", "none"]


def test_estimates_of_different_methods_are_refused():
    groups = [EstimateGroup(0.3, [EstimateRow("a", 0.1)]), EstimateGroup(0.5, [EstimateRow("b", 0.1)])]
    with pytest.raises(ValueError, match="labels"):
        estimates_figure(groups)


def test_estimates_without_any_value_are_drawn_empty():
    figure = estimates_figure([EstimateGroup(0.5, [EstimateRow("a", None)])])
    assert words(figure.axes[0]) == ["–"]
    assert figure.axes[0].get_xlim() == (0, 1)


def test_the_sweep_has_a_panel_for_each_method_on_one_scale():
    series = [Series("IoU > 0.3", [0.1, 0.2], [0.3, 0.4]), Series("IoU > 0.5", [0.1, 0.2], [0.1, 0.2])]
    figure = sweep_figure([SweepPanel("CAM", series, 0.2), SweepPanel("LayerCAM", series[:1], None)])
    first, second = figure.axes
    assert lines_of(first, "IoU > 0.5")[0].get_xydata().tolist() == [[0.1, 0.1], [0.2, 0.2]]
    assert first.get_lines()[-1].get_xdata() == [0.2, 0.2]
    assert len(second.get_lines()) == 1
    assert first.get_ylim() == second.get_ylim()
    assert legend_words(figure) == ["IoU > 0.3", "IoU > 0.5", "chosen"]


def test_the_scale_of_a_sweep_includes_methods_that_are_better_than_the_first():
    figure = sweep_figure(
        [SweepPanel(str(ap), [Series("IoU > 0.5", [0.1, 0.2], [ap, 0.0])], None) for ap in (0.0, 0.5, 1.0)]
    )
    for axes in figure.axes:
        low, high = axes.get_ylim()
        assert low == 0 and 1 <= high < 1.1


def test_the_lines_of_a_sweep_have_the_colour_of_their_method():
    """In the legend, which names the IoU thresholds of all methods, colour means nothing."""
    panels = [
        SweepPanel(
            name,
            [Series(f"IoU {iou}", [0.1, 0.2], [0.3, 0.4], style=LineStyle(colour, dash))
             for dash, iou in enumerate((0.3, 0.5))],
            None,
        )
        for colour, name in enumerate(("CAM", "LayerCAM"))
    ]  # fmt: skip
    figure = sweep_figure(panels)
    for colour, axes in enumerate(figure.axes):
        assert {line.get_color() for line in axes.get_lines()} == {SERIES[colour]}
    handles = figure.legends[0].legend_handles
    assert {handle.get_color() for handle in handles} == {INK}
    assert len({handle.get_linestyle() for handle in handles[:2]}) == 2


def test_points_are_on_an_axis_of_their_own_length():
    sections = [EstimateSection("gain", [EstimateRow("merged", 0.173, 0.11, 0.244)])]
    for points, end, tick in ((False, 1.0, "100 %"), (True, 0.4, "40")):
        figure = sections_figure(sections, quantity="gain", reference=None, points=points)
        figure.draw_without_rendering()
        (axes,) = figure.axes
        assert axes.get_xlim() == (0, pytest.approx(end))
        assert axes.get_xticklabels()[-1].get_text() == tick


def test_sections_have_headings_and_a_reference():
    sections = [
        EstimateSection("size", [EstimateRow("small", 0.0, 0.0, 0.06)]),
        EstimateSection("border", []),
    ]
    (axes,) = sections_figure(sections, quantity="recall", reference=0.37).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["size", "small", "border"]
    assert [label.get_fontweight() for label in axes.get_yticklabels()] == ["bold", "normal", "bold"]
    data = [line.get_xydata().tolist() for line in axes.get_lines()]
    assert [[0.0, 1.0], [0.06, 1.0]] in data
    assert axes.get_lines()[0].get_xdata() == [0.37, 0.37]
    with pytest.raises(ValueError, match="row"):
        sections_figure([], quantity="recall", reference=None)


def test_reliability_draws_shares_with_intervals_and_cases():
    rows = [ShareRow(0.45, 0.5, 0.4, 0.6, 12), ShareRow(0.95, 0.9, 0.8, 1.0, 7)]
    (axes,) = reliability_figure([("correct boxes", rows, LineStyle(0))], x_label="score").axes
    assert words(axes) == ["12", "7"]
    dots = lines_of(axes, "correct boxes")[0]
    assert dots.get_ydata() == pytest.approx([0.5, 0.9])
    bars = [list(line.get_ydata()) for line in axes.get_lines()[2:]]
    assert bars == [[0.4, 0.6], [0.8, 1.0]]


@pytest.mark.parametrize(
    "rows",
    [
        [ShareRow(0.05, 0.0, 0.0, 0.02, 117), ShareRow(0.55, 0.5, 0.4, 0.6, 12)],
        [ShareRow(0.05 + 0.1 * place, 0.04, 0.0, 0.2, 361 - place) for place in range(10)],
    ],
    ids=["few", "many"],
)
def test_reliability_writes_no_number_among_those_of_the_axis(rows):
    groups = [("correct boxes", rows, LineStyle(0)), ("images", rows, LineStyle("ink", 1))]
    figure = reliability_figure(groups, x_label="score")
    (axes,) = figure.axes
    boxes = [text.get_window_extent() for text in axes.texts]
    assert min(box.y0 for box in boxes) >= axes.get_window_extent().y0
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_what_is_no_method_has_no_colour_of_a_method():
    rows = [ShareRow(0.45, 0.5, 0.4, 0.6, 12)]
    groups = [("boxes", rows, LineStyle(0)), ("images", rows, LineStyle("ink", 1))]
    (axes,) = reliability_figure(groups, x_label="score").axes
    assert [lines_of(axes, name)[0].get_color() for name in ("boxes", "images")] == [SERIES[0], INK]
    assert len({lines_of(axes, name)[0].get_marker() for name in ("boxes", "images")}) == 2
    (axes,) = score_figure([0.9], [0.1, 0.2], 0.5).axes
    outlines = axes.get_legend_handles_labels()[0]
    assert [to_hex(outline.get_edgecolor()) for outline in outlines] == [INK, MUTED]
    assert len({outline.get_linestyle() for outline in outlines}) == 2


@pytest.mark.slow
def test_a_narrow_figure_has_all_panels_and_names_the_axis_below_each_column():
    series = [Series("IoU 0.3", [0.1, 0.2], [0.4, 0.3]), Series("IoU 0.5", [0.1, 0.2], [0.2, 0.1])]
    panels = [SweepPanel(f"method {number}", series, 0.2) for number in range(5)]
    wide, narrow = sweep_figure(panels), sweep_figure(panels, columns=2)
    titles = [[axes.get_title() for axes in figure.axes] for figure in (wide, narrow)]
    assert titles[0] == titles[1] and len(titles[0]) == 5
    assert narrow.get_figwidth() == NARROW_WIDTH < wide.get_figwidth()
    assert [bool(axes.get_xlabel()) for axes in narrow.axes] == [False, False, False, True, True]
    shown = [any(word for word in tick_words(axes, "x")) for axes in narrow.axes]
    assert shown == [False, False, False, True, True]


def test_bins_draw_their_counts():
    groups = [("map", [3, 4], LineStyle(0)), ("centre", [6, 1], LineStyle(5, 1))]
    figure = bins_figure([0, 0.5, 1], groups, x_label="IoU", y_label="images")
    outlines = figure.axes[0].get_legend_handles_labels()[0]
    assert [patch.get_data().values.tolist() for patch in outlines] == [[3, 4], [6, 1]]


def test_score_and_overlap_draw_every_image():
    groups = [("with", [0.9, 0.2], [0.7, 0.1], LineStyle(0)), ("without", [0.4], [0.0], LineStyle(1))]
    (axes,) = score_overlap_figure(groups, score_threshold=0.5, iou_threshold=0.5).axes
    points = {tuple(np.round(xy, 2)) for line in axes.get_lines()[2:] for xy in line.get_xydata()}
    assert points == {(0.9, 0.7), (0.2, 0.1), (0.4, 0.0)}
    assert axes.get_lines()[0].get_xdata() == [0.5, 0.5]
    assert axes.get_lines()[1].get_ydata() == [0.5, 0.5]


def test_bars_are_as_long_as_their_counts():
    rows = [CountRow("missed", (0, 4)), CountRow("merged", (3, 2))]
    figure = counts_figure(rows, ("false positives", "missed objects"))
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [0, 3, 4, 2]
    assert words(axes) == ["0", "3", "4", "2"]
    assert legend_words(figure) == ["false positives", "missed objects"]
    tops = [bar.get_y() for bar in axes.patches]
    assert tops == sorted(set(tops), key=tops.index)
    assert len({to_hex(bar.get_facecolor()) for bar in axes.patches}) == 2


def test_counts_of_one_name_need_no_legend():
    assert counts_figure([CountRow("missed", (2,))]).legends == []


@pytest.mark.parametrize("rows", [[], [CountRow("missed", (0,))]])
def test_no_counts_at_all_can_be_drawn(rows):
    assert counts_figure(rows).axes[0].get_xlim() == (0, 1)


def test_a_row_without_a_count_for_each_name_is_refused():
    with pytest.raises(ValueError, match=r"2.*: a, b"):
        counts_figure([CountRow("missed", (1,))], ("a", "b"))


def test_agreement_draws_every_image_and_the_diagonal():
    figure = agreement_figure([0.5, 0.5, 0.1], [0.5, 0.5, 0.9], a_label="CAM", b_label="Grad-CAM")
    (axes,) = figure.axes
    diagonal, single, double = axes.get_lines()
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    assert single.get_xydata().tolist() == [[pytest.approx(0.1), pytest.approx(0.9)]]
    assert double.get_xydata().tolist() == [[pytest.approx(0.5), pytest.approx(0.5)]]
    assert double.get_markersize() > single.get_markersize()
    assert axes.get_title(loc="left") == "images: 3; below the diagonal: 0, above: 1"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("top-box IoU, CAM", "top-box IoU, Grad-CAM")


def test_agreement_without_images_is_the_diagonal_alone():
    figure = agreement_figure([], [], a_label="a", b_label="b")
    assert len(figure.axes[0].get_lines()) == 1


def test_scores_are_counted_in_each_group_and_the_threshold_is_marked():
    figure = score_figure([0.9, 0.95, 0.1, 0.6], [0.05, 0.15], 0.5, target="dog", n_bins=2)
    (axes,) = figure.axes
    outlines = axes.get_legend_handles_labels()[0]
    assert [patch.get_data().values.tolist() for patch in outlines] == [[1, 3], [2, 0]]
    assert legend_words(figure) == ["with dog (4)", "without dog (2)"]
    assert axes.get_lines()[0].get_xdata() == [0.5, 0.5]
    assert words(axes) == ["operating point: 0.500"]


def test_scores_of_an_empty_group_are_a_line_at_zero():
    figure = score_figure([], [0.2], None)
    assert legend_words(figure) == ["with target (0)", "without target (1)"]
    assert figure.axes[0].get_lines() == []


@pytest.mark.slow
def test_nothing_is_cut_off_at_the_edge():
    long_names = ["a method with a name that is rather long", "another one, which is a little longer still"]
    rows = [EstimateRow(name, 1.0, 0.9, 1.0) for name in long_names]
    curves = [Series(name, [0, 1], [1, 0]) for name in long_names]
    panels = [PrecisionRecallPanel(iou, curves) for iou in (0.3, 0.4, 0.5)]
    groups = [EstimateGroup(iou, rows) for iou in (0.3, 0.4, 0.5)]
    sweep = [Series("IoU > 0.5", [0.05, 0.95], [0.1, 0.2])]
    drawn = {
        "curves": precision_recall_figure(panels),
        "estimates": estimates_figure(groups),
        "estimates, narrow": estimates_figure(groups, columns=1),
        "sweeps": sweep_figure([SweepPanel(name, sweep, 0.95) for name in long_names]),
        "sweeps, narrow": sweep_figure([SweepPanel(name, sweep, 0.95) for name in long_names], columns=2),
        "sections": sections_figure([EstimateSection(name, rows) for name in long_names], quantity="recall",
                                    reference=0.5),
        "counts": counts_figure([CountRow(name, (123456,)) for name in long_names]),
        "agreement": agreement_figure([0, 1], [0, 1], a_label="CAM", b_label="the earlier layer"),
        "scores": score_figure([1.0], [0.0], 0.999),
    }  # fmt: skip
    assert [name for name, figure in drawn.items() if not inside(figure)] == []


@pytest.mark.slow
def test_overlaps_and_scores_are_decimals_shares_are_percent():
    """One form a quantity: IoU, score and probability as 0.5; precision, recall, AP and shares as 50 %."""
    look = LineStyle(0)
    tops = score_overlap_figure([("all", [0.2], [0.3], look)], score_threshold=0.5, iou_threshold=0.5)
    both = agreement_figure([0.2], [0.3], a_label="a", b_label="b")
    rows = [("all", [ShareRow(0.5, 0.4, 0.2, 0.6, 9)], look)]
    expected = {
        (tops, "x"): False, (tops, "y"): False, (both, "x"): False, (both, "y"): False,
        (bins_figure([0, 0.5, 1], [("all", [3, 2], look)], x_label="IoU", y_label="images"), "x"): False,
        (score_figure([0.2], [0.3], 0.5), "x"): False,
        (reliability_figure(rows, x_label="score"), "x"): False,
        (reliability_figure(rows, x_label="score"), "y"): True,
        (lines_figure([CURVE], x_label="IoU threshold", y_label="AP"), "x"): False,
        (lines_figure([CURVE], x_label="IoU threshold", y_label="AP"), "y"): True,
        (sweep_figure([SweepPanel("Grad-CAM (all)", [CURVE], 0.5)]), "y"): True,
        (precision_recall_figure([PrecisionRecallPanel(0.5, [CURVE])]), "x"): True,
    }  # fmt: skip
    for (figure, name), percent in expected.items():
        words = tick_words(figure.axes[0], name)
        assert words and all(word.endswith("%") == percent for word in words), (words, name)
