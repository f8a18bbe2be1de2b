"""The examples in docstrings give the results that they state."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in ("dogcam", "report")
    for path in sorted((ROOT / package).rglob("*.py"))
    if path.name != "__init__.py" and ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name):
    failed, attempted = doctest.testmod(importlib.import_module(name), report=True)
    assert failed == 0 < attempted
