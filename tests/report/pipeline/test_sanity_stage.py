"""The sanity stage: the same numbers every time, an unchanged model, and limits that can be missed."""

from dataclasses import replace

import numpy as np
import pytest

from report import record as results
from report.pipeline.stages import sanity
from tests.support import runs as fixtures
from tests.support.stages import after, context_of


@pytest.fixture(scope="module")
def localised(small_data, small_checkpoint, tmp_path_factory):
    context = context_of(small_data, small_checkpoint, tmp_path_factory.mktemp("sanity"))
    return after(context, "predict", "localise")


@pytest.fixture(scope="module")
def found(localised):
    return results.Sanity(**sanity.run(localised))


def test_the_stage_says_the_same_twice_and_leaves_the_model_alone(localised, found):
    network, weights = localised.classifier.network, localised.classifier.weights_sha256()
    assert results.Sanity(**sanity.run(localised)) == found
    assert localised.classifier.weights_sha256() == weights
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in network.modules())
    assert all(weight.requires_grad for weight in network.parameters())


def test_the_cascade_goes_from_the_head_to_the_whole_network(localised, found):
    assert found.depths[0].layer == "head"
    assert found.depths[0].n_layers == 1
    shares = [depth.share_of_parameters for depth in found.depths]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert found.n_images == sum(localised.has_target(image) for image in localised.reported.images)


def test_erasing_ends_where_revealing_begins(found):
    for curve in found.curves:
        assert curve.deletion[0] == pytest.approx(curve.insertion[-1])
        assert curve.deletion[-1] == pytest.approx(curve.insertion[0])
    assert len({curve.deletion[0] for curve in found.curves}) == 1


def test_every_check_is_made_once_and_holds_its_mark(found):
    names = results.SanityCheck.model_fields["name"].annotation.__args__
    assert tuple(check.name for check in found.checks) == names
    for check in found.checks:
        ends = check.value.interval
        assert check.passed == (
            abs(ends.low) < check.limit > abs(ends.high) if check.rule == "within" else ends.low > check.limit
        )


@pytest.mark.parametrize(
    ("low", "high", "rule", "passed"),
    [
        (0.1, 0.4, "within", True), (0.1, 0.6, "within", False), (0.6, 0.9, "within", False),
        (-0.4, 0.1, "within", True), (-0.6, 0.1, "within", False), (-1.0, -0.9, "within", False),
        (0.01, 0.2, "above", True), (-0.01, 0.2, "above", False), (-0.2, -0.1, "above", False),
    ],
)  # fmt: skip
def test_a_limit_is_met_by_the_whole_interval_only(low, high, rule, passed):
    ends = results.Interval(low=low, high=high, level=0.95)
    value = results.Estimate(value=(low + high) / 2, interval=ends)
    assert sanity._check("centre_box", value, rule).passed is passed


def test_no_check_can_pass_on_one_image(localised):
    values = np.array([0.1, np.nan, np.nan])
    alone = sanity._mean(localised, values)
    assert (alone.value, alone.interval.low, alone.interval.high) == (0.1, None, None)
    assert sanity._check("centre_box", alone, "within").passed is None
    two = sanity._mean(localised, np.array([0.1, 0.1, np.nan]))
    assert sanity._check("centre_box", two, "within").passed is True


def test_without_tuning_images_no_labels_are_permuted(localised):
    alone = results.Sanity(**sanity.run(replace(localised, tuning=None)))
    assert alone.permuted is None
    assert "permuted_spearman" not in {check.name for check in alone.checks}


def test_without_any_map_nothing_is_said(small_data, tmp_path):
    blind = fixtures.write_blind_checkpoint(tmp_path / "blind.safetensors")
    context = after(context_of(small_data, blind, tmp_path), "predict", "localise")
    nothing = results.Sanity(**sanity.run(context))
    assert (nothing.n_images, nothing.depths, nothing.curves, nothing.permuted) == (0, [], [], None)
    randomised = [check for check in nothing.checks if check.name.startswith("randomised")]
    assert [check.passed for check in randomised] == [None, None]
