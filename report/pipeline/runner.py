"""Run the stages in order; seal each output, and reuse it while nothing that it depends on changed."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from dogcam.errors import DogcamError, OutputError, RecordError
from dogcam.files import atomic_write, path_inside, read_bytes, read_json, sha256_of, sha256_of_values
from report.pipeline.context import Context
from report.pipeline.fingerprint import code_fingerprint, digest, versions
from report.pipeline.folder import PICTURE_FOLDERS, remove
from report.pipeline.unchanged import REUSED
from report.record import StageRun


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Attributes:
        name: the name of its output and of its folder.
        title: what it does, for people.
        run: computes its output, which JSON can hold. Under "files" the output lists the files that the stage
            wrote into the run's folder; without them it is not reused.
        needs: the earlier stages whose outputs it reads.
        settings: the fields of the config that it reads.
        inputs: its inputs from outside the run, in addition to those of every stage.
        output: the type of its output; an earlier output of another type is not reused.
    """

    name: str
    title: str
    run: Callable[[Context], Any]
    needs: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    output: Any = Any


class _UnusableError(Exception):
    """An earlier output cannot be reused; the message is the reason."""


@dataclass(frozen=True)
class _Plan:
    """The folder of a stage, and what its output depends on.

    Attributes:
        run: the run's folder.
        stage: the stage.
        ingredients: a name and a value or hash for everything that the output depends on.
    """

    run: Path
    stage: Stage
    ingredients: Mapping[str, str]

    @property
    def key(self) -> str:
        return digest(*(part for pair in sorted(self.ingredients.items()) for part in pair))

    @property
    def folder(self) -> Path:
        # Checked: a link in a run folder from elsewhere must not lead the run to other files.
        return path_inside(self.run, f"stages/{self.stage.name}")

    @property
    def output(self) -> Path:
        return self.folder / f"{self.key}.json"

    @property
    def workspace(self) -> Path:
        return path_inside(self.run, f"stages/{self.stage.name}/{self.key}")

    def seal(self, content: Mapping[str, Any]) -> str:
        """Return the checksum over the output, its files, and everything that it was made from."""
        whole = {"stage": self.stage.name, "ingredients": dict(self.ingredients), **content}
        return sha256_of_values(whole)

    def file(self, name: str) -> Path:
        """Return the path of a file that an output lists.

        Raises:
            RecordError: if it is outside the stage's workspace and the folders of pictures.
        """
        path = path_inside(self.run, name)
        mine = [self.workspace, *(path_inside(self.run, each) for each in PICTURE_FOLDERS)]
        if not any(path.is_relative_to(folder) and path != folder for folder in mine):
            raise RecordError(
                f"the output of the stage {self.stage.name} lists the file {name!r}; expected a file in "
                f"stages/{self.stage.name}/{self.key}, {' or '.join(PICTURE_FOLDERS)}"
            )
        return path


def run_stages(
    stages: Sequence[Stage],
    context: Context,
    inputs: Mapping[str, str],
    report: Callable[[StageRun], None] = lambda _: None,
) -> tuple[Context, list[StageRun]]:
    """Run stages in order, or reuse the outputs of an earlier run.

    An output is stored under a hash of everything that it depends on: the stage's code and the versions of
    the libraries, the settings that it reads, the outputs that it needs, the data and the weights. It is
    written atomically, so an interrupted run continues with the first stage that did not end. It is sealed
    by a checksum and validated by its type. It is reused only while its files have the same content, since
    runs with other settings write files of the same names.

    Args:
        stages: in an order in which each comes after those it needs.
        context: for the first stage.
        inputs: hashes of what comes from outside the run, such as data and weights. Every stage depends on
            those that no stage claims for itself.
        report: receives each stage as it ends.

    Returns:
        The context with all outputs, and how each stage ended.

    Raises:
        DataError: if an image changed while a stage ran; its output is not kept.
        RecordError: if a folder of the run is a link out of it.
    """
    runs: list[StageRun] = []
    keys: dict[str, str] = {}
    for name in PICTURE_FOLDERS:
        path_inside(context.folder, name)
    claimed = {name for stage in stages for name in stage.inputs}
    context = replace(context, folder=context.folder.resolve())
    for stage in stages:
        own = {name: value for name, value in inputs.items() if name not in claimed or name in stage.inputs}
        plan = _plan(stage, context, own, keys)
        started = time.perf_counter()
        output, reason = _reuse(plan)
        if reason:
            context.progress.stage_began(stage.title)
            output = _make(plan, context)
        last = plan.folder / "last.json"
        if last.is_dir():
            remove(last)
        atomic_write(last, json.dumps(dict(plan.ingredients), indent=1))
        context = replace(context, outputs={**context.outputs, stage.name: output})
        keys[stage.name] = plan.key
        run = StageRun(
            name=stage.name, title=stage.title, key=plan.key, status="ran" if reason else "reused",
            reason=reason or REUSED, seconds=time.perf_counter() - started,
        )  # fmt: skip
        runs.append(run)
        report(run)
    return context, runs


def _plan(stage: Stage, context: Context, inputs: Mapping[str, str], keys: Mapping[str, str]) -> _Plan:
    settings = {f"the setting {name}": json.dumps(getattr(context.config, name)) for name in stage.settings}
    # An optional stage that is not part of this run changes nothing.
    needs = {f"the stage {name}": keys[name] for name in stage.needs if name in keys}
    own = {
        "the code": code_fingerprint(stage.run.__module__),
        "the library versions": json.dumps(versions()),
    }
    return _Plan(context.folder, stage, {**inputs, **settings, **needs, **own})


def _make(plan: _Plan, context: Context) -> Any:
    """Run a stage, and write its output with the checksums of its files and the seal."""
    remove(plan.output)
    try:
        plan.workspace.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{plan.workspace} cannot be made ({error.strerror}); name another --out"
        ) from error
    # Dumped and loaded, so that the stages after it see the same output in a first and in a resumed run.
    output = json.loads(json.dumps(plan.stage.run(replace(context, workspace=plan.workspace))))
    TypeAdapter(plan.stage.output).validate_python(output)
    context.sources.require_unchanged()
    files = {name: sha256_of(read_bytes(plan.file(name))) for name in _listed(output)}
    content = {"output": output, "files": files}
    atomic_write(plan.output, json.dumps({"seal": plan.seal(content), **content}))
    return output


def _reuse(plan: _Plan) -> tuple[Any, str | None]:
    """Return the earlier output, or None and the reason why the stage must run."""
    try:
        if plan.output.exists():
            return _unsealed(plan), None
    except _UnusableError as error:
        return None, str(error)
    return None, _why_absent(plan)


def _unsealed(plan: _Plan) -> Any:
    """Read an earlier output and check its seal, its type and its files.

    Raises:
        _UnusableError: if it does not pass.
    """
    try:
        document = read_json(plan.output, RecordError)
        content = {"output": document["output"], "files": document["files"]}
        if document["seal"] != plan.seal(content):
            raise _UnusableError("the earlier output is damaged: its checksum is that of another output")
        TypeAdapter(plan.stage.output).validate_python(content["output"])
        paths = {name: plan.file(name) for name in _listed(content["output"])}
        sums = {name: content["files"][name] for name in paths}
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise _UnusableError(f"the earlier output has another form ({place})") from error
    except (DogcamError, KeyError, TypeError) as error:
        raise _UnusableError("the earlier output is damaged") from error
    faults = {name: fault for name, path in paths.items() if (fault := _fault(path, sums[name]))}
    for name in faults:
        # A stage that continues from the files in its workspace must not find these.
        remove(paths[name])
    if faults:
        name, fault = next(iter(faults.items()))
        raise _UnusableError(f"{name} {fault}")
    return content["output"]


def _why_absent(plan: _Plan) -> str:
    """Return the reason why there is no output under the stage's key."""
    if plan.workspace.exists():
        return "the earlier run did not end"
    try:
        last = dict(read_json(plan.folder / "last.json", RecordError))
    except (DogcamError, TypeError, ValueError):
        return "no cached result"
    changed = [name for name, value in plan.ingredients.items() if last.get(name) != value]
    return f"changed: {', '.join(changed)}" if changed else "the earlier output is gone"


def _listed(output: Any) -> Iterable[str]:
    """Return the files that an output lists."""
    files = output.get("files", []) if isinstance(output, dict) else []
    return TypeAdapter(list[str]).validate_python(files)


def _fault(path: Path, expected: str) -> str | None:
    """Return how a file differs from what its stage wrote; None if it does not."""
    if not path.exists():
        return "is gone"
    try:
        same = sha256_of(read_bytes(path)) == expected
    except DogcamError:
        same = False
    return None if same else "is not what this stage wrote"
