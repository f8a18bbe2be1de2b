"""Say what a stage's output depends on: the code that made it, and the versions of the libraries."""

import ast
import hashlib
import importlib.metadata
import importlib.util
import platform
from functools import cache
from pathlib import Path

PACKAGES = ("dogcam", "report")
LIBRARIES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "matplotlib", "pillow", "pydantic")


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
    """Hash the sources of a module and of every module of ours that it imports, directly or not."""
    sources = {name: _source(name).read_text(encoding="utf-8") for name in sorted(code_of(module))}
    return digest(*(part for pair in sources.items() for part in pair))


def code_of(module: str) -> frozenset[str]:
    """Return the names of the modules of ours that a module is made of, itself included."""
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_imports(name))
    return frozenset(found)


@cache
def _imports(module: str) -> frozenset[str]:
    names = set()
    for node in ast.walk(ast.parse(_source(module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from dogcam import boxes` imports a module, `from dogcam.structures.boxes import iou` a name.
            names.update([node.module], (f"{node.module}.{alias.name}" for alias in node.names))
    return frozenset(name for name in names if name.split(".")[0] in PACKAGES and _is_module(name))


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _source(module: str) -> Path:
    return Path(importlib.util.find_spec(module).origin)
