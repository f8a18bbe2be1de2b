"""The tests keep to their own rules: helpers live in tests/support, and every marker is registered."""

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest

TESTS = Path(__file__).resolve().parent
MODULES = sorted(TESTS.rglob("*.py"))


def imported_tests(path: Path) -> set[str]:
    """Return the modules below `tests` that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("tests.")}


def test_the_reader_sees_imports():
    assert "tests.support.runs" in imported_tests(TESTS / "conftest.py")


@pytest.mark.slow
def test_no_test_module_is_imported():
    named = {
        (path, part) for path in MODULES for name in imported_tests(path) for part in name.split(".")[1:-1]
    }
    assert [each for each in named if each[1].startswith("test_") or each[1] == "conftest"] == []


@pytest.mark.parametrize(("fixture", "marker"), [("browser", "browser"), ("real_data", "photographs")])
def test_a_test_is_marked_by_the_fixtures_that_it_uses(request, fixture, marker):
    """So that `make test-fast` needs neither a browser nor photographs, whoever writes the next test."""
    marks = []
    fast = {"path": Path(__file__), "get_closest_marker": lambda _: None}
    item = SimpleNamespace(fixturenames=["tmp_path", fixture], add_marker=marks.append, **fast)
    plain = SimpleNamespace(fixturenames=["tmp_path"], add_marker=pytest.fail, **fast)
    conftest = request.config.pluginmanager.get_plugin(str(TESTS / "conftest.py"))
    conftest.pytest_collection_modifyitems([item, plain])
    assert marks == [marker]
