"""What a stage's output depends on: the sources it is made of, and nothing else of ours."""

import sys

import pytest

from report.pipeline import fingerprint
from report.pipeline.experiment import STAGES
from report.pipeline.fingerprint import code_fingerprint, code_of, digest, versions

SOURCES = {
    "__init__": '"""A package."""\n',
    "base": "VALUE = 1\n",
    "middle": "from pack.base import VALUE\n",
    "top": "def late():\n    from pack import middle\n    import os, numpy\n",
    "other": "import os\n",
    "sub/__init__": "from pack.sub.leaf import LEAF\n",
    "sub/leaf": "LEAF = 2\n",
    "user": "import pack.sub\n",
    "alias": "from pack.base import VALUE as renamed\nfrom pack.nothing_here import x\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `pack` that counts as ours; what the process remembers of other sources is left alone."""
    for name, text in SOURCES.items():
        path = tmp_path / "pack" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(fingerprint, "PACKAGES", ("pack",))
    for name in ("_examined", "_is_module"):
        monkeypatch.setattr(fingerprint, name, getattr(fingerprint, name).__wrapped__)
    yield tmp_path / "pack"
    for name in [name for name in sys.modules if name.split(".")[0] == "pack"]:
        del sys.modules[name]


def fingerprints() -> dict[str, str]:
    names = ("base", "middle", "top", "other", "user", "alias")
    return {name: code_fingerprint.__wrapped__(f"pack.{name}") for name in names}


@pytest.mark.parametrize(
    ("module", "made_of"),
    [
        ("base", {"base"}),
        ("middle", {"middle", "base"}),
        ("other", {"other"}),
        ("user", {"user", "sub", "sub.leaf"}),
        ("alias", {"alias", "base"}),
    ],
)
def test_imports_are_followed(package, module, made_of):
    assert code_of(f"pack.{module}") == {f"pack.{name}" for name in made_of}


def test_an_import_inside_a_function_counts(package):
    assert {"pack.top", "pack.middle", "pack.base"} <= code_of("pack.top")


@pytest.mark.parametrize(
    ("changed", "dependants"),
    [
        ("base", {"base", "middle", "top", "alias"}),
        ("middle", {"middle", "top"}),
        ("sub/leaf", {"user"}),
        ("other", {"other"}),
    ],
)
def test_a_change_of_a_source_reaches_its_dependants_only(package, changed, dependants):
    before = fingerprints()
    with (package / f"{changed}.py").open("a") as file:
        file.write("CHANGED = 1\n")
    after = fingerprints()
    assert {name for name in before if before[name] != after[name]} == dependants


UNCHANGED = {
    "a comment": lambda text: "# why\n" + text,
    "a docstring": lambda text: '"""Other words."""\n' + text,
    "a docstring of a function": lambda text: text.replace("late():\n", 'late():\n    """Say so."""\n'),
    "a docstring of a value": lambda text: text.replace("VALUE = 1\n", 'VALUE = 1\n"""What it is."""\n'),
    "layout": lambda text: text.replace(" = ", "  =  ") + "\n\n",
}
CHANGED = {
    "a number": lambda text: text.replace("VALUE = 1", "VALUE = 2"),
    "a string that is used": lambda text: text.replace("VALUE = 1", "VALUE = 'one'"),
    "a default": lambda text: text.replace("late()", "late(x=1)"),
}


@pytest.mark.parametrize("change", [*UNCHANGED, *CHANGED])
def test_only_what_computes_changes_the_hash(package, change):
    before = code_fingerprint.__wrapped__("pack.top")
    for name in ("top", "base"):
        path = package / f"{name}.py"
        path.write_text((UNCHANGED | CHANGED)[change](path.read_text()))
    assert (code_fingerprint.__wrapped__("pack.top") != before) == (change in CHANGED)


def test_a_package_that_does_not_count_is_left_out(package, monkeypatch):
    monkeypatch.setattr(fingerprint, "NOT_COUNTED", ("pack.sub",))
    assert code_of("pack.user") == {"pack.user"}


@pytest.mark.slow
def test_no_stage_depends_on_the_record_or_the_settings_by_their_code():
    for stage in STAGES:
        ours = code_of(stage.run.__module__)
        assert not {name for name in ours if name.startswith(("report.record", "report.config"))}, stage.name


def test_stages_are_made_of_the_science_they_call():
    predict, evaluate, draw = (
        code_of(f"report.pipeline.stages.{name}") for name in ("predict", "evaluate", "draw")
    )
    assert {
        "report.pipeline.stages.predict",
        "dogcam.cam",
        "dogcam.network.hooks",
        "report.pipeline.methods",
    } <= predict
    assert not {"dogcam.evaluate.metrics.matching", "dogcam.draw.plots", "report.render.render"} & predict
    assert {
        "dogcam.evaluate.metrics",
        "dogcam.evaluate.metrics.matching",
        "dogcam.evaluate.metrics.bootstrap",
    } <= evaluate
    assert {"dogcam.draw.plots", "dogcam.draw.overlays", "dogcam.draw.svg"} <= draw


def test_a_digest_tells_parts_from_their_concatenation():
    assert digest("ab", "c") != digest("a", "bc") != digest("abc")
    assert digest("a") == digest("a")
    assert len(digest()) == 16


def test_the_versions_name_python_and_what_computes():
    assert {"python", "torch", "torchvision", "numpy", "scipy", "pillow"} <= versions().keys()
    assert all(version[0].isdigit() for version in versions().values())
