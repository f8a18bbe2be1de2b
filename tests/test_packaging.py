"""What is imported is declared, what is declared is used, and every version has its bounds."""

import ast
import functools
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

REPOSITORY = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
# Programs that are run and plugins that are loaded, but not imported.
RUN_BY_NAME = {
    "ruff", "mypy", "pandas-stubs", "scipy-stubs", "types-defusedxml", "types-pyyaml", "types-requests",
    "pytest-cov", "pytest-xdist", "mkdocs", "mkdocs-click", "mkdocs-material", "mkdocstrings", "onnxscript",
    "ray",
}  # fmt: skip


def declared(*extras: str) -> dict[str, Requirement]:
    """Return the requirements of the package, or of some of its extras, by their canonical names."""
    lines = [line for extra in extras for line in EXTRAS[extra]] if extras else PROJECT["dependencies"]
    found = {}
    for line in lines:
        requirement = Requirement(line)
        if requirement.name == PROJECT["name"]:
            found |= declared(*sorted(requirement.extras))
        else:
            found[canonicalize_name(requirement.name)] = requirement
    return found


ALL = declared() | declared(*EXTRAS)


@functools.cache
def providers() -> Mapping[str, list[str]]:
    """Return the distributions of each module."""
    return importlib.metadata.packages_distributions()


def imported_by(*folders: str) -> set[str]:
    """Return the distributions that the modules of some folders import, by their canonical names."""
    ours = {"dogcam", "report", "tests", "benchmarks", "examples"}
    modules = {name.split(".")[0] for folder in folders for name in _imports(REPOSITORY / folder)}
    foreign = modules - ours - set(sys.stdlib_module_names)
    missing = {name for name in foreign if name not in providers()}
    assert not missing, f"{missing} are imported and belong to no installed distribution"
    return {canonicalize_name(providers()[name][0]) for name in foreign}


@functools.cache
def _imports(folder: Path) -> frozenset[str]:
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module)
    return frozenset(found)


@pytest.mark.slow
def test_the_reader_sees_imports():
    assert {"torch", "pillow", "scikit-learn", "jinja2"} <= imported_by("dogcam", "report")
    assert "captum" in imported_by("benchmarks") - imported_by("dogcam", "report")


@pytest.mark.slow
def test_what_the_packages_import_is_declared():
    optional = declared("efficientnet-lite0", "onnx", "openvino", "timm")
    assert imported_by("dogcam", "report") <= declared().keys() | optional.keys()


@pytest.mark.slow
def test_what_the_tests_and_benchmarks_import_is_declared():
    assert imported_by("tests", "examples") <= (declared() | declared("test")).keys()
    assert imported_by("benchmarks") <= (declared() | declared("bench")).keys()


@pytest.mark.slow
def test_what_is_declared_is_imported():
    assert declared().keys() <= imported_by("dogcam", "report")
    assert ALL.keys() - RUN_BY_NAME <= imported_by("dogcam", "report", "tests", "benchmarks", "examples")


@pytest.mark.parametrize("name", sorted(ALL))
def test_versions_are_bounded_on_both_sides(name):
    operators = {each.operator for each in ALL[name].specifier}
    assert operators == {">=", "<"}, f"{ALL[name]} needs >= and <"


def test_constraints_pin_every_requirement_within_its_bounds():
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {canonicalize_name(name): Version(version) for name, version in (x.split("==") for x in lines)}
    assert ALL.keys() <= pinned.keys()
    outside = {name for name, wanted in ALL.items() if not wanted.specifier.contains(pinned[name])}
    assert not outside


def test_every_installation_of_the_makefile_uses_the_constraints():
    recipes = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    installations = re.findall(r"^\t.*--editable.*$", recipes, flags=re.MULTILINE)
    assert len(installations) == 3
    assert all(line.startswith("\t$(INSTALL) ") for line in installations)


@pytest.mark.parametrize("package", ["dogcam", "report"])
def test_the_packages_are_typed(package):
    assert (REPOSITORY / package / "py.typed").is_file()
