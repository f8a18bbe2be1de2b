"""Run the stages in order; keep what each returns, and use it again while nothing it depends on changed."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dogcam.errors import OutputError
from dogcam.files import atomic_write
from report.pipeline.fingerprint import code_fingerprint, digest, versions
from report.pipeline.stages.context import Context
from report.record import StageRun


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Attributes:
        name: names its output for the stages after it, and its folder.
        title: says what it does, for people.
        run: computes its output, which JSON can hold; under "files" it names those that it wrote into the
            run's folder, without which the output is of no use.
        needs: the earlier stages whose outputs it reads.
        settings: the fields of the config that it reads.
        inputs: what it depends on from outside the run, beside what every stage does.
    """

    name: str
    title: str
    run: Callable[[Context], Any]
    needs: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Plan:
    """A stage's folder, and what its output depends on."""

    folder: Path
    ingredients: Mapping[str, str]

    @property
    def key(self) -> str:
        return digest(*(part for pair in sorted(self.ingredients.items()) for part in pair))

    @property
    def output(self) -> Path:
        return self.folder / f"{self.key}.json"

    @property
    def sums(self) -> Path:
        """Where the SHA-256 of each file is kept that the output names."""
        return self.folder / f"{self.key}.files.json"

    @property
    def workspace(self) -> Path:
        return self.folder / self.key


def run_stages(
    stages: Sequence[Stage],
    context: Context,
    inputs: Mapping[str, str],
    report: Callable[[StageRun], None] = lambda _: None,
) -> tuple[Context, list[StageRun]]:
    """Run stages in order, or take over what an earlier run left.

    An output is stored under a hash of everything that it depends on: the stage's code and the versions of
    the libraries, the settings that it reads, the outputs that it needs, the data and the weights. It is
    written whole, so that an interrupted run goes on with the first stage that did not end. It holds while
    its files do, byte for byte: runs with other settings write theirs under the same names.

    Args:
        stages: in an order in which each comes after those it needs.
        context: for the first stage.
        inputs: hashes of what comes from outside the run, such as data and weights. Every stage depends on
            those that no stage claims for itself.
        report: is told of each stage as it ends.

    Returns:
        The context with all outputs, and what was done about each stage.
    """
    runs: list[StageRun] = []
    keys: dict[str, str] = {}
    claimed = {name for stage in stages for name in stage.inputs}
    for stage in stages:
        own = {name: value for name, value in inputs.items() if name not in claimed or name in stage.inputs}
        plan = _plan(stage, context, own, keys)
        started = time.perf_counter()
        reason = _why_not_reuse(plan, context.folder)
        if reason:
            _make(stage, plan, context)
        atomic_write(plan.folder / "last.json", json.dumps(dict(plan.ingredients), indent=1))
        # Read back even when it was just made, so that a first run and a resumed one see the same numbers.
        stored = json.loads(plan.output.read_text(encoding="utf-8"))
        context = replace(context, outputs={**context.outputs, stage.name: stored})
        keys[stage.name] = plan.key
        facts = {"name": stage.name, "title": stage.title, "key": plan.key}
        done = ("ran", reason) if reason else ("reused", "nothing that it depends on changed")
        facts |= dict(zip(("status", "reason"), done, strict=True))
        runs.append(StageRun(**facts, seconds=time.perf_counter() - started))
        report(runs[-1])
    return context, runs


def _make(stage: Stage, plan: _Plan, context: Context) -> None:
    """Run a stage; keep its output, and what its files hold."""
    plan.output.unlink(missing_ok=True)
    try:
        plan.workspace.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{plan.workspace} cannot be made ({error.strerror}); name another --out"
        ) from error
    output = stage.run(replace(context, workspace=plan.workspace))
    sums = {name: _sum(context.folder / name) for name in _files(output)}
    atomic_write(plan.sums, json.dumps(sums))
    atomic_write(plan.output, json.dumps(output))


def _files(output: Any) -> list[str]:
    return output.get("files", []) if isinstance(output, dict) else []


def _sum(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _plan(stage: Stage, context: Context, inputs: Mapping[str, str], keys: Mapping[str, str]) -> _Plan:
    settings = {f"the setting {name}": json.dumps(getattr(context.config, name)) for name in stage.settings}
    needs = {f"the stage {name}": keys[name] for name in stage.needs}
    own = {
        "the code": code_fingerprint(stage.run.__module__),
        "the library versions": json.dumps(versions()),
    }
    return _Plan(context.folder / "stages" / stage.name, {**inputs, **settings, **needs, **own})


def _why_not_reuse(plan: _Plan, folder: Path) -> str | None:
    """Say why a stage must run; None where its earlier output still holds, with all of its files."""
    if plan.output.exists():
        try:
            output = json.loads(plan.output.read_bytes())
            sums = json.loads(plan.sums.read_bytes())
        except (OSError, ValueError):
            return "the earlier output is damaged"
        found = {name: _sum(folder / name) for name in _files(output)}
        faults = [name for name, has in found.items() if has is None or has != sums.get(name)]
        for name in faults:
            # A stage that goes on with files that it finds must not go on with these.
            (folder / name).unlink(missing_ok=True)
        if not faults:
            return None
        return f"{faults[0]} is {'gone' if found[faults[0]] is None else 'not what this stage wrote'}"
    if plan.workspace.exists():
        return "the earlier run did not end"
    try:
        last = json.loads((plan.folder / "last.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "there is no earlier output"
    changed = [name for name, value in plan.ingredients.items() if last.get(name) != value]
    return f"changed: {', '.join(changed)}" if changed else "the earlier output is gone"
