"""Hash the code that an output depends on, without comments and docstrings, and list library versions."""

import ast
import hashlib
import importlib.metadata
import importlib.util
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGES = ("dogcam", "report")
LIBRARIES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "matplotlib", "pillow", "pydantic")

NOT_COUNTED = ("report.record", "report.config")
"""Packages that no output depends on by their code.

An output is validated by the record's types when it is read, and settings are compared by their values.
The two packages themselves do not count either: they contain nothing but public functions that import their
modules when they are called, and no stage calls those.
"""


def digest(*parts: str) -> str:
    """Return a short hash of the parts, 16 hexadecimal digits."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that compute."""
    installed = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"python": platform.python_version(), **installed}


@cache
def code_fingerprint(module: str) -> str:
    """Hash a module and every module of this program that it imports, directly or not.

    Comments, docstrings and layout do not count.
    """
    return digest(*(part for name in sorted(code_of(module)) for part in (name, _examined(name).meaning)))


def code_of(module: str) -> frozenset[str]:
    """Return the names of the modules of this program that a module consists of, itself included."""
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_examined(name).imports)
    return frozenset(found)


@dataclass(frozen=True)
class _Examined:
    """A module: the modules of this program that it imports, and a hash of its code."""

    imports: frozenset[str]
    meaning: str


@cache
def _examined(module: str) -> _Examined:
    """Parse a module once; comments, layout and docstrings (strings that are statements) do not count."""
    tree = _parsed(module)
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from dogcam import boxes` imports a module, `from dogcam.structures.boxes import iou` a name.
            names.update([node.module], (f"{node.module}.{alias.name}" for alias in node.names))
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [each for each in body if not _is_docstring(each)]  # type: ignore[attr-defined]
    imports = frozenset(name for name in names if _counts(name) and _is_module(name))
    return _Examined(imports, digest(ast.dump(tree)))


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _parsed(module: str) -> ast.Module:
    found = importlib.util.find_spec(module)
    assert found is not None and found.origin is not None, f"{module} has no source"
    return ast.parse(Path(found.origin).read_text(encoding="utf-8"))


def _counts(name: str) -> bool:
    if name in PACKAGES or any(name == each or name.startswith(f"{each}.") for each in NOT_COUNTED):
        return False
    return name.split(".")[0] in PACKAGES


@cache
def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
