"""The entries of the methods decide their maps, rules, comparisons and styles."""

from collections import Counter

from dogcam.models.classifier import load_classifier
from report.pipeline.methods import (
    AT_EARLIER,
    EARLIER,
    GRAD_CAM_REFERENCE,
    MAIN,
    METHODS,
    RULE_OF,
    requests,
)
from report.pipeline.stages.compare import PAIRS
from report.pipeline.stages.picture import GRID_METHODS


def test_each_map_has_a_request_at_its_layer_and_a_rule():
    classifier = load_classifier("sample_net", device="cpu")
    maps = {name for name, method in METHODS.items() if method.kind == "map"}
    made = requests(classifier)
    assert made.keys() == maps - {GRAD_CAM_REFERENCE} and maps == RULE_OF.keys()
    for name, request in made.items():
        earlier = name == EARLIER or name in AT_EARLIER
        assert request.layer == (classifier.earlier_layer if earlier else classifier.target_layer), name
        assert RULE_OF[name] == (name if earlier else MAIN), name


def test_methods_at_the_earlier_layer_are_compared_and_shown():
    assert len(AT_EARLIER) >= 3
    for name in AT_EARLIER:
        assert (EARLIER, name) in PAIRS and name in GRID_METHODS


def test_no_two_methods_have_one_style():
    styles = Counter((method.colour, method.dash) for method in METHODS.values())
    assert styles.most_common(1)[0][1] == 1
