"""Hash the code that an output depends on, without comments and docstrings, and list library versions."""

import ast
import hashlib
import importlib.metadata
import importlib.util
import platform
from functools import cache
from pathlib import Path

PACKAGES = ("dogcam", "report")
LIBRARIES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "matplotlib", "pillow", "pydantic")

NOT_COUNTED = ("report.record", "report.config")
"""Packages that no output depends on by their code.

An output is validated by the record's types when it is read, and settings are compared by their values.
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
    return digest(*(part for name in sorted(code_of(module)) for part in (name, _meaning(name))))


def code_of(module: str) -> frozenset[str]:
    """Return the names of the modules of this program that a module consists of, itself included."""
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_imports(name))
    return frozenset(found)


@cache
def _imports(module: str) -> frozenset[str]:
    names: set[str] = set()
    for node in ast.walk(_parsed(module)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from dogcam import boxes` imports a module, `from dogcam.structures.boxes import iou` a name.
            names.update([node.module], (f"{node.module}.{alias.name}" for alias in node.names))
    return frozenset(name for name in names if _counts(name) and _is_module(name))


def _meaning(module: str) -> str:
    """Return the syntax tree of a module without its docstrings: strings that are statements."""
    tree = _parsed(module)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [each for each in body if not _is_docstring(each)]  # type: ignore[attr-defined]
    return ast.dump(tree)


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
    if any(name == each or name.startswith(f"{each}.") for each in NOT_COUNTED):
        return False
    return name.split(".")[0] in PACKAGES


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
