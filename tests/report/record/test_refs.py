"""Values that know where in the record they stand."""

import re

import pytest

from dogcam.errors import RecordError
from report.record import Estimate, Interval
from report.record.refs import Ref, find, path_of, raw, resolve

DOCUMENT = {
    "methods": [{"name": "cam", "rows": [{"ap": 0.5}, {"ap": None}]}, {"name": "grad_cam", "rows": []}],
    "versions": {"python": "3"},
}


def test_paths_follow_attributes_items_and_iteration():
    ref = Ref(DOCUMENT)
    row = ref.methods[0].rows[-1]
    assert (path_of(row.ap), raw(row.ap)) == ("methods.0.rows.1.ap", None)
    assert [path_of(each) for each in ref.methods] == ["methods.0", "methods.1"]
    assert [path_of(each) for each in ref.versions] == ["versions.python"]
    assert all(resolve(DOCUMENT, path_of(each)) == raw(each) for each in ref.methods[0].rows)


def test_models_are_walked_by_their_fields_alone():
    ref = Ref(Estimate(value=0.25, interval=Interval(low=0.0, high=1.0, level=0.95)), "x")
    assert path_of(ref.interval.high) == "x.interval.high"
    with pytest.raises(RecordError, match=r"x\.model_fields"):
        _ = ref.model_fields


@pytest.mark.parametrize(
    "reach",
    [lambda ref: ref.nothing, lambda ref: ref.methods[0].nmae, lambda ref: ref.methods.name],
    ids=["top", "item", "list"],
)
def test_a_field_that_is_not_there_is_an_error(reach):
    with pytest.raises(RecordError, match=r"(nothing|methods)"):
        reach(Ref(DOCUMENT))


def test_a_ref_is_as_true_as_its_value_and_compares_like_it():
    ref = Ref({"none": None, "zero": 0, "one": 1, "empty": []})
    assert not any([ref.none, ref.zero, ref.empty])
    assert ref.one
    assert ref.one == 1
    assert ref.one == Ref(1, "elsewhere")
    assert ref.zero < ref.one
    assert ref.one > 0
    assert len(ref.empty) == 0


def test_fields_are_no_indices():
    with pytest.raises(TypeError, match="'methods'"):
        _ = Ref(DOCUMENT)["methods"]


def test_items_are_found_by_their_fields():
    methods = Ref(DOCUMENT).methods
    assert path_of(find(methods, name="grad_cam")) == "methods.1"
    with pytest.raises(RecordError, match=r"methods.*'cma'"):
        find(methods, name="cma")


@pytest.mark.parametrize(
    "path", ["", "method", "methods.2", "methods.x", "methods.0.rows.0.ap.0", "methods.0."]
)
def test_a_path_that_leads_nowhere_is_an_error(path):
    with pytest.raises(RecordError, match=re.escape(repr(path))):
        resolve(DOCUMENT, path)
