"""The drawings of the sanity checks: what is drawn, what is left out, and where the mark stands."""

import pytest

from dogcam.draw.plots import (
    EstimateRow,
    EstimateSeries,
    Series,
    insertion_deletion_figure,
    similarity_figure,
)
from dogcam.draw.svg import to_svg


def rows(*values):
    return [EstimateRow("", *each) for each in values]


def test_similarity_shows_each_measure_its_intervals_and_the_mark():
    places = [0.1, 0.5, 1.0]
    series = [
        EstimateSeries("ranks", places, rows((0.8, 0.7, 0.9), (None, None, None), (0.1, 0.0, 0.2))),
        EstimateSeries("structure", places, rows((0.6, 0.5, 0.7), (0.3, 0.2, 0.4), (-0.1, -0.2, 0.0))),
    ]
    figure = similarity_figure(series, 0.5)
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert lines["ranks"].get_xydata().tolist() == [[0.1, 0.8], [1.0, 0.1]]
    assert len(lines["structure"].get_xdata()) == 3
    assert lines["ranks"].get_color() == lines["structure"].get_color(), "one method"
    assert lines["ranks"].get_linestyle() != lines["structure"].get_linestyle()
    assert 0.5 in [line.get_ydata()[0] for line in axes.get_lines() if len(set(line.get_ydata())) == 1]
    assert -0.5 in [line.get_ydata()[0] for line in axes.get_lines() if len(set(line.get_ydata())) == 1]
    assert axes.get_ylim()[0] < -1, "an inverted map is seen"
    bars = [line.get_ydata() for line in axes.get_lines() if list(line.get_xdata()) == [1.0, 1.0]]
    assert [list(bar) for bar in bars] == [[0.0, 0.2], [-0.2, 0.0]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ranks", "structure", "pass limit"]


@pytest.mark.parametrize("columns", [None, 1])
def test_erasing_draws_the_same_orders_in_both_panels(columns):
    curves = [Series("map", [0, 0.5, 1], [0.9, 0.2, 0.1]), Series("centre", [0, 0.5, 1], [0.9, 0.6, 0.1])]
    figure = insertion_deletion_figure([("deletion", curves), ("insertion", curves)], columns=columns)
    assert [axes.get_title("left") or axes.get_title() for axes in figure.axes] == ["deletion", "insertion"]
    colours = [[line.get_color() for line in axes.get_lines()] for axes in figure.axes]
    assert colours[0] == colours[1]
    assert len(set(colours[0])) == 2
    text = to_svg(figure, name="deletion", alt="two orders")
    assert text == to_svg(figure, name="deletion", alt="two orders")
