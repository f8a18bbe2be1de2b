"""Who may import whom: the rooms of the design, read from the imports themselves."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

MAY_IMPORT = {
    "dogcam.errors": set(),
    "dogcam.boxes": set(),
    "dogcam.activations": {"dogcam.errors"},
    "dogcam.heads": {"dogcam.errors"},
    "dogcam.places": {"dogcam.errors"},
    # Whether a head is all that follows a layer is asked by the maps and by the choice of the layer alike.
    "dogcam.closed_form": {"dogcam.errors", "dogcam.heads", "dogcam.places"},
    "dogcam.layers": {"dogcam.activations", "dogcam.closed_form", "dogcam.errors", "dogcam.places"},
    "dogcam.cam": {
        "dogcam.activations", "dogcam.closed_form", "dogcam.heads", "dogcam.errors", "dogcam.places"
    },
    "dogcam.voc": {"dogcam.boxes", "dogcam.errors", "dogcam.slices"},
    "dogcam.sample": {"dogcam.boxes", "dogcam.errors"},
    "dogcam.localise": {"dogcam.boxes"},
    "dogcam.metrics": {"dogcam.boxes", "dogcam.errors"},
    "dogcam.segmentation": set(),
    # What a network knows is taken away, and its maps are made and compared again.
    "dogcam.sanity": {"dogcam.activations", "dogcam.cam", "dogcam.localise"},
    # Objects are grouped by their boxes, and measured by the matches that the metrics made.
    "dogcam.breakdowns": {"dogcam.boxes", "dogcam.metrics"},
    # What a map shows is held against objects, and how sure that is comes from the metrics' resamples.
    "dogcam.map_measures": {"dogcam.boxes", "dogcam.localise", "dogcam.metrics"},
    "dogcam.files": {"dogcam.errors"},
    # A baseline is a set of detections, which is a word of the metrics.
    "dogcam.baselines": {"dogcam.boxes", "dogcam.metrics"},
    # Files of boxes become detections and ground truth, and VOC's pixels are converted in one place alone.
    "dogcam.box_files": {"dogcam.errors", "dogcam.metrics", "dogcam.voc"},
    # Why a detection failed hangs on how its box lies to the others.
    "dogcam.taxonomy": {"dogcam.boxes", "dogcam.metrics"},
    # How an SVG is written, and which points of a curve are worth drawing, are rooms of their own.
    "dogcam.plots": {"dogcam.boxes", "dogcam.metrics", "dogcam.svg", "dogcam.thinning"},
    "dogcam.svg": set(),
    "dogcam.thinning": set(),
    "dogcam.pictures": {"dogcam.boxes"},
    # A network is built with its weights; one of them pools its classes by a head of ours.
    "dogcam.checkpoints": {"dogcam.errors", "dogcam.files"},
    "dogcam.networks": {"dogcam.checkpoints", "dogcam.errors", "dogcam.heads"},
    # A backend runs a whole classifier, and its maps are held against those of the engine.
    "dogcam.backends": {
        "dogcam.cam", "dogcam.checkpoints", "dogcam.classifier", "dogcam.errors", "dogcam.files",
        "dogcam.heads",
    },
    "dogcam.preprocessing": set(),
    # A closer look takes the scores of single places from the head.
    "dogcam.closer_look": {"dogcam.activations", "dogcam.errors", "dogcam.heads", "dogcam.preprocessing"},
    "dogcam.architectures": {"dogcam.errors", "dogcam.networks", "dogcam.preprocessing"},
    # What a card says is enough to build its network.
    "dogcam.model_card": {
        "dogcam.architectures", "dogcam.checkpoints", "dogcam.closer_look", "dogcam.errors",
        "dogcam.preprocessing",
    },
    # A network that is not known beforehand is looked through for the layers to look at.
    "dogcam.classifier": {
        "dogcam.architectures", "dogcam.checkpoints", "dogcam.closer_look", "dogcam.errors", "dogcam.layers",
        "dogcam.model_card", "dogcam.networks", "dogcam.preprocessing",
    },
}
"""What each room of the science may import of dogcam; rooms that are not here only put others together."""

TO_THE_SCIENCE = ("report.stages", "report.experiment")
"""The parts of the report that call into the science."""

NO_SCIENCE = {"dogcam", "dogcam.commands", "dogcam.errors", "dogcam.files"}
"""What every part of the report may use: version, errors, command lines, and files that are written whole."""

EXCEPTIONS = {
    # The command's default for --cache is the folder that the downloads use.
    "report.cli": {"dogcam.download"},
    # A paired interval is resampled from the tables of both runs, by the metrics that the stages use.
    "report.diff": {"dogcam.metrics"},
}

WITHOUT_TORCH = [
    f"report.{name}"
    for name in (
        "assets", "check", "claims", "config", "diff", "formats", "lint", "refs", "render", "require",
        "results", "run_files", "store", "templates", "trace", "watch",
    )
]
"""What re-renders a finished run, in a second and where torch is not installed."""


def source_files() -> dict[str, Path]:
    """Every module of both packages and its file, by its dotted name."""
    files = {}
    for package in ("dogcam", "report"):
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            parts = path.relative_to(REPOSITORY).with_suffix("").parts
            files[".".join(part for part in parts if part != "__init__")] = path
    return files


FILES = source_files()


def imports_of(module: str, *, lazy: bool = True) -> set[str]:
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
    return found


def _when_imported(tree: ast.AST):
    """Every node that runs when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from _when_imported(node)


def room_of(module: str) -> str:
    """A package of several files, as `dogcam.metrics`, is one room."""
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


OTHERS_OF_THE_REPORT = [
    module for module in FILES if module.startswith("report") and room_of(module) not in TO_THE_SCIENCE
]


def test_the_reader_sees_imports():
    """So that no rule below passes because nothing was read."""
    assert {"torch", "dogcam.errors", "dogcam.heads"} <= imports_of("dogcam.cam.class_map")
    assert "report.experiment" in imports_of("report.cli") - imports_of("report.cli", lazy=False)
    assert {"dogcam.metrics.matching", "numpy"} <= reached_from("dogcam.taxonomy")
    assert "torch" in reached_from("report.runner")


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_what_the_table_allows(room):
    modules = [module for module in FILES if room_of(module) == room]
    assert modules, f"{room} is gone; take it out of the table"
    found = {room_of(name) for module in modules for name in imports_of(module) if name in FILES}
    assert found - {room} <= MAY_IMPORT[room]


def test_the_science_knows_nothing_of_reports():
    knowing = {
        module
        for module in FILES
        if module.startswith("dogcam") and any(name.split(".")[0] == "report" for name in imports_of(module))
    }
    assert knowing == set()


@pytest.mark.parametrize("module", OTHERS_OF_THE_REPORT)
def test_only_the_stages_and_the_experiment_call_into_the_science(module):
    science = {name for name in imports_of(module) if name.split(".")[0] == "dogcam"} - NO_SCIENCE
    assert science == EXCEPTIONS.get(module, set())


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_rendering_reaches_neither_torch_nor_torchvision(module):
    assert reached_from(module) & {"torch", "torchvision"} == set()


def test_rendering_loads_no_torch_in_a_fresh_interpreter():
    modules = ", ".join(["report.cli", *WITHOUT_TORCH])
    code = f"import {modules}, sys; print(*sorted({{'torch', 'torchvision'}} & sys.modules.keys()))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
