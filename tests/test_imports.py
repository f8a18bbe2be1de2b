"""Who may import whom: the rooms of the design, read from the imports themselves."""

import ast
import functools
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

MAY_IMPORT = {
    # The public functions import what they need when they are called.
    "dogcam": {"structures", "network", "models", "cam", "detection", "evaluate", "errors"},
    "dogcam.errors": set(),
    "dogcam.files": {"errors"},
    # A split hashes its photographs, which are read safely.
    "dogcam.structures": {"errors", "files"},
    "dogcam.data": {"structures", "errors", "files"},
    "dogcam.network": {"errors"},
    # A classifier knows the target that is detected if none is named.
    "dogcam.models": {"structures", "network", "errors", "files"},
    "dogcam.cam": {"network", "errors"},
    "dogcam.backends": {"structures", "cam", "models", "network", "errors", "files"},
    # Positions are classified one by one with the head, and networks run without their last stride.
    "dogcam.detection": {
        "structures", "data", "network", "cam", "models", "backends", "errors", "files",
    },
    # Sanity checks run a network and make maps again; the rest of the room needs neither.
    "dogcam.evaluate": {"structures", "data", "network", "models", "cam", "detection", "errors"},
    # A localiser is trained on the boxes that a detection method finds.
    "dogcam.train": {
        "structures", "data", "network", "models", "detection", "evaluate", "errors", "files",
    },
    "dogcam.draw": {"structures"},
    "dogcam.cli": {
        "dogcam", "structures", "data", "network", "models", "cam", "backends", "detection",
        "evaluate", "train", "draw", "errors", "files",
    },
    # `run_report` imports what it needs when it is called.
    "report": {
        "report.config", "report.record", "report.pipeline", "report.progress", "report.render",
        "report.running",
    },
    "report.running": {
        "report.config", "report.record", "report.pipeline", "report.progress", "report.render",
        "dogcam.data", "dogcam.errors", "dogcam.files",
    },
    "report.__main__": {"dogcam.cli"},
    "report.config": {"dogcam.structures", "dogcam.errors", "dogcam.files"},
    "report.record": {
        "report.config", "dogcam.structures", "dogcam.errors", "dogcam.files",
    },
    "report.render": {"report.record", "dogcam.errors", "dogcam.files"},
    # A paired interval is resampled from the tables of both runs.
    "report.measures": {"report.record", "dogcam.evaluate", "dogcam.structures"},
    "report.diff": {"report.measures", "report.record", "dogcam.evaluate", "dogcam.files"},
    "report.compare": {"report.diff", "report.measures", "report.record", "dogcam.errors"},
    "report.pipeline": {
        "report.config", "report.record", "dogcam", "dogcam.structures", "dogcam.data", "dogcam.models",
        "dogcam.network", "dogcam.cam", "dogcam.backends", "dogcam.detection", "dogcam.evaluate",
        "dogcam.draw", "dogcam.errors", "dogcam.files",
    },
    # Lines for terminals and log files, as `dogcam train` prints them.
    "report.progress": {"report.record", "dogcam.cli"},
    "report.cli": {
        "report.config", "report.record", "report.render", "report.diff", "report.compare", "report.running",
        "report.progress", "dogcam", "dogcam.cli", "dogcam.data", "dogcam.structures", "dogcam.errors",
        "dogcam.files",
    },
}  # fmt: skip
"""What each package may import of ours. A name without a dot is a room of `dogcam`."""

WITHOUT_TORCH = ("dogcam.errors", "dogcam.files", "dogcam.structures", "report.config", "report.record",
                 "report.render", "report.measures", "report.diff", "report.compare")  # fmt: skip
"""The packages that render and compare finished runs; they run where torch is not installed."""


def source_files() -> dict[str, Path]:
    """Every module of both packages and its file, by its dotted name."""
    files = {}
    for package in ("dogcam", "report"):
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            parts = path.relative_to(REPOSITORY).with_suffix("").parts
            files[".".join(part for part in parts if part != "__init__")] = path
    return files


FILES = source_files()


@functools.cache
def imports_of(module: str, *, lazy: bool = True) -> frozenset[str]:
    """The modules that a module imports, whole dotted names; `lazy` adds what its functions import."""
    tree = ast.parse(FILES[module].read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree) if lazy else _when_imported(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively; write the whole name"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in FILES else node.module)
    return frozenset(found)


def _when_imported(tree: ast.AST):
    """Every node that runs when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        only_for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not only_for_types:
            yield node
            yield from _when_imported(node)


def room_of(module: str) -> str:
    """A package of several files, as `dogcam.evaluate.metrics`, is one room."""
    return ".".join(module.split(".")[:2])


def reached_from(module: str) -> set[str]:
    """Everything that importing a module imports, the packages that its own modules lie in included."""
    reached, front = set(), [module]
    while front:
        for name in imports_of(front.pop(), lazy=False):
            parts = name.split(".")
            parents = {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
            front.extend((parents - reached) & FILES.keys())
            reached |= parents
    return reached


def allowed(room: str) -> set[str]:
    """Return the rooms that the table allows, by their whole names."""
    names = MAY_IMPORT[room]
    return {name if "." in name or name in {"dogcam", "report"} else f"dogcam.{name}" for name in names}


def test_the_reader_sees_imports():
    """So that no rule below passes because nothing was read."""
    assert {"torch", "dogcam.errors", "dogcam.network.heads"} <= imports_of("dogcam.cam.class_map")
    experiment = "report.running"
    assert experiment in imports_of("report.cli") - imports_of("report.cli", lazy=False)
    assert {"dogcam.evaluate.metrics.matching", "numpy"} <= reached_from("dogcam.evaluate.errors")
    assert "torch" in reached_from("report.pipeline.runner")


def test_the_table_has_a_row_for_every_package():
    assert set(MAY_IMPORT) == {room_of(module) for module in FILES}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_package_imports_what_the_table_allows(room):
    modules = [module for module in FILES if room_of(module) == room]
    found = {room_of(name) for module in modules for name in imports_of(module) if name in FILES}
    assert found - {room} <= allowed(room)


def test_the_table_has_no_circle():
    """`graphlib` raises CycleError and names the packages of the circle."""
    list(TopologicalSorter({room: allowed(room) - {"dogcam"} for room in MAY_IMPORT}).static_order())


def test_no_modules_import_each_other_in_a_circle():
    graph = {module: {name for name in imports_of(module) if name in FILES} - {module} for module in FILES}
    list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("room", WITHOUT_TORCH)
def test_rendering_reaches_neither_torch_nor_torchvision(room):
    for module in FILES:
        if room_of(module) == room:
            assert reached_from(module) & {"torch", "torchvision"} == set(), module


@pytest.mark.parametrize("room", ["report.config", "report.record", "report.render", "report.cli"])
def test_rendering_reaches_no_numpy(room):
    """It would take a tenth of the time of a rendering, and nothing of it is used."""
    for module in FILES:
        if room_of(module) == room:
            assert "numpy" not in reached_from(module), module


def test_a_run_reaches_no_library_that_is_slow_to_import():
    """Each would take as long as torch itself; torchvision is imported if a network of it is asked for."""
    reached = reached_from("report.pipeline.experiment") | reached_from("report.pipeline.photographs")
    assert "scipy" in {name.split(".")[0] for name in reached}
    assert reached & {"torchvision", "sklearn", "pandas", "scipy.stats", "onnx", "onnxruntime"} == set()


def test_a_process_that_locates_boxes_reaches_no_torch():
    """It would take most of the time in which the process starts, and most of its memory."""
    reached = reached_from("report.pipeline.shared.preset_work")
    assert "dogcam.detection.proposal_method" in reached
    assert reached & {"torch", "torchvision"} == set()


@pytest.mark.slow
def test_rendering_loads_no_torch_in_a_fresh_interpreter():
    modules = ", ".join(module for module in FILES if room_of(module) in {"report.cli", *WITHOUT_TORCH})
    code = f"import {modules}, sys; print(*sorted({{'torch', 'torchvision'}} & sys.modules.keys()))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_no_two_public_classes_share_a_name():
    """A name means one thing; every stage of the pipeline has its own `Output`."""
    found = Counter(
        node.name
        for path in FILES.values()
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and node.name != "Output"
    )
    assert [name for name, count in found.items() if count > 1] == []
