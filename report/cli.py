"""The command `dogcam-report`: run an experiment, render its record, and check the report."""

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click

import dogcam
from dogcam.cli.common import ErrorGroup, names_in
from dogcam.cli.signals import keeping
from dogcam.errors import RecordError
from dogcam.files import atomic_write, printable
from dogcam.structures.defaults import TARGET
from dogcam.structures.presets import PRESET_NAMES
from report.config import (
    ALL,
    DATA_SETS,
    TUNING_LIMIT,
    VOC2007_LIMIT,
    EngineName,
    RunConfig,
    make_config,
    with_defaults,
)
from report.record.io import json_schema, read_record, read_results
from report.record.requirements import check_requirements, parse_requirement
from report.render.check import check_report
from report.render.loader import open_templates, templates_folder
from report.render.render import HTML_NAME, render_diff, write_report
from report.render.watch import watch as watch_folders

_FOLDER = click.Path(path_type=Path, file_okay=False)
_TEMPLATES = click.option(
    "--templates",
    "own",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder of templates that replace those of the program, or add sections; see docs/templates.md.",
)
_WATCH = click.option(
    "--watch", is_flag=True, help="Continue, and render again whenever a template is saved."
)
_FILE = click.Path(path_type=Path, dir_okay=False)
_FINISHED = click.Path(path_type=Path, exists=True, file_okay=False)
_HTML = click.option("--html", type=_FILE, help="Also write the comparison as an HTML page.")
_MARKDOWN = click.option(
    "--markdown", type=_FILE, help="Write the Markdown to a file instead of printing it."
)
_RUN = click.argument("run", type=_FINISHED)


def _setting(flag: str, text: str, *, name: str | None = None) -> Callable[..., Any]:
    """Return the option of a setting, with the values and the default of its field in `RunConfig`."""
    name = name or flag.removeprefix("--").replace("-", "_")
    field = RunConfig.model_fields[name]
    values = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    kind = click.Choice(values) if values else None
    return click.option(flag, name, type=kind, default=field.default, show_default=True, help=text)


@click.group(cls=ErrorGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(dogcam.__version__, prog_name="dogcam-report")
def main() -> None:
    """Measure the boxes of a classifier, and render a report whose numbers all come from one record."""


@main.command("run")
@_setting(
    "--data",
    "sample, voc2007, or a data set or folder of photographs: its path, or its URL (s3://...).",
)
@click.option("--split", help="Reported split.  [default: test; val for a folder]")
@click.option(
    "--tuning-split", help="Split on which thresholds are chosen, or none.  [default: val, or train]"
)
@click.option(
    "--limit", type=int, help=f"Number of images of the split.  [default: all; {VOC2007_LIMIT} for voc2007]"
)
@click.option(
    "--tuning-limit", type=int, help=f"Number of images of the tuning split.  [default: {TUNING_LIMIT}]"
)
@_setting("--on-bad-box", "Treatment of boxes that are empty or extend beyond their image.")
@_setting("--on-error", "Treatment of images with a fault: fail with a list of all, or skip them.")
@_setting("--difficult", "Treatment of objects marked difficult; `ignored` includes the boxes on them.")
@_setting("--crowd", "Treatment of boxes around crowds; `ignored` includes the boxes on them.")
@click.option(
    "--target", "targets", multiple=True,
    help=f"A class to detect; repeatable, or all that are annotated and known.  [default: {TARGET}]",
)  # fmt: skip
@click.option(
    "--main-target",
    help="Of several classes, the main one, to which most sections refer.  [default: the first --target; "
    "for all, the class with the most objects]",
)  # fmt: skip
@click.option(
    "--model", metavar="NAME",
    help="The network.  [default: that in the checkpoint's card; else sample_net for sample, or resnet50]",
)  # fmt: skip
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Weights of the network.")
@click.option("--classes", metavar="FILE|NAME,...|imagenet", help="As for `dogcam detect`.")
@click.option("--activation", type=click.Choice(["sigmoid", "softmax"]), help="As for `dogcam detect`.")
@click.option(
    "--pool", "pools", multiple=True, metavar="voc|none|NAME=FILE|NAME=MEMBER,...",
    help="Classes to pool, as for `dogcam detect`.  [default: voc for ImageNet]",
)  # fmt: skip
@click.option(
    "--cam-threshold",
    type=float,
    help="Fraction of the maximum of a map.  [default: chosen on the tuning split]",
)
@click.option(
    "--preset", "presets", multiple=True, type=click.Choice([*PRESET_NAMES, ALL]),
    help="A detection preset to compare with the published one, step by step; repeatable.  [default: none]",
)  # fmt: skip
@click.option(
    "--localiser", type=click.Path(path_type=Path),
    help="File of `dogcam train-localiser`; adds the preset localiser.",
)  # fmt: skip
@click.option(
    "--precision", type=float,
    help="Least precision of the operating point on the tuning split.  [default: that of the best F1]",
)  # fmt: skip
@_setting("--backend", "Computes the maps of the target layer; any but `reference` is compared with it.")
@_setting("--device", "cpu, cuda, mps or auto.")
@_setting("--batch-size", "Number of images in a forward pass.")
@click.option(
    "--engine", type=click.Choice(get_args(EngineName)), default="local", show_default=True,
    help="Where the network runs: in processes of this machine, or on a Ray cluster (docs/scale.md).",
)  # fmt: skip
@_setting("--seed", "Random seed of the bootstrap and of the gallery.")
@_setting("--resamples", "Number of bootstrap resamples.", name="n_resamples")
@_setting("--confidence-level", "Level of the intervals.")
@click.option("--out", type=_FOLDER, help="Folder of the run.  [default: build/NAME]")
@click.option("--cache", type=_FOLDER, help="Folder of downloaded and rendered data sets.")
@_TEMPLATES
@_WATCH
def run_command(
    out: Path | None,
    cache: Path | None,
    own: Path | None,
    watch: bool,
    engine: EngineName,
    **options: object,
) -> None:
    """Run the whole experiment and render its report."""
    # Imported here, because the other commands do not need it.
    from report.progress import ConsoleProgress
    from report.running import run

    templates = open_templates(own)
    settings = {name: value for name, value in options.items() if value is not None}
    if settings.get("tuning_split") == "none":
        settings["tuning_split"] = None
    if "classes" in settings:
        settings["classes"] = names_in(str(settings["classes"]))
    config = make_config(**with_defaults(settings))
    folder = out or Path("build") / config.data_name
    command = printable(shlex.join(["dogcam-report", *map(_without_path, sys.argv[1:])]))
    note = f"finished stages are kept in {folder}; the same command continues there"
    with keeping(lambda: note):
        record = run(config, folder, cache, command, ConsoleProgress(), templates, engine)
    for change in record.claim_changes:
        before, now = (status or "not made" for status in (change.before, change.now))
        click.echo(f"claim changed  {change.id}: {before} -> {now}", err=True)
    click.echo(f"The report is at {folder / HTML_NAME}")
    if watch:
        _watch(folder, own)


@main.command()
@_RUN
@_TEMPLATES
@_WATCH
def render(run: Path, own: Path | None, watch: bool) -> None:
    """Render the report of a finished run again; this takes a second and needs no torch."""
    if watch:
        _watch(run, own)
        return
    click.echo(f"The report is at {write_report(read_record(run), run, open_templates(own))}")


@main.command()
@_RUN
@_TEMPLATES
@click.option(
    "--require",
    "required",
    multiple=True,
    metavar="EXPRESSION",
    help="A condition on the record, such as 'grad_cam.ap@0.5 >= 0.4'; repeatable.",
)
def check(run: Path, own: Path | None, required: tuple[str, ...]) -> None:
    """Refuse a report that differs from its record, or whose templates contain literal results."""
    requirements = [parse_requirement(text) for text in required]
    n_numbers = check_report(run, open_templates(own))
    click.echo(f"{run}: all {n_numbers} numbers of the page are in the record")
    outcomes = check_requirements(read_results(run), requirements) if requirements else []
    for outcome in outcomes:
        click.echo(str(outcome))
    n_failed = sum(not outcome.met for outcome in outcomes)
    if n_failed:
        raise RecordError(f"{n_failed} of {len(outcomes)} requirements not met")


@main.command()
@click.argument("before", type=_FINISHED)
@click.argument("after", type=_FINISHED)
@_HTML
@_MARKDOWN
@_TEMPLATES
def diff(before: Path, after: Path, html: Path | None, markdown: Path | None, own: Path | None) -> None:
    """Show how the run AFTER differs from the run BEFORE."""
    # Imported here: resampling needs scipy, whose import takes longer than rendering.
    from report.diff import compare_runs

    _write(render_diff(compare_runs(before, after), open_templates(own)), html, markdown)


def _write(texts: dict[str, str], html: Path | None, markdown: Path | None) -> None:
    """Write the page if its file is named, and the Markdown to its file or to the standard output."""
    if html:
        atomic_write(html, texts["html"])
    if markdown:
        atomic_write(markdown, texts["markdown"])
    else:
        click.echo(texts["markdown"], nl=False)


@main.command()
@click.argument("runs", nargs=-1, required=True, type=_FINISHED)
@_HTML
@_MARKDOWN
@_TEMPLATES
def compare(runs: tuple[Path, ...], html: Path | None, markdown: Path | None, own: Path | None) -> None:
    """Compare two or more RUNS, with paired intervals of the differences from the first."""
    from report.compare import compare_all

    _write(render_diff(compare_all(runs), open_templates(own)), html, markdown)


@main.command()
def schema() -> None:
    """Print the JSON Schema of the record."""
    click.echo(json_schema(), nl=False)


def _watch(run: Path, own: Path | None) -> None:
    """Render a run after each change; templates are searched each time, since files are added and removed."""
    folders = [folder for folder in (own, templates_folder()) if folder is not None]
    watch_folders(
        lambda: write_report(read_record(run), run, open_templates(own)),
        folders,
        lambda line: click.echo(line, err=True),
    )


def _without_path(argument: str) -> str:
    """Return an argument of the command line with a path reduced to its last name.

    A folder that is called as a data set of the program keeps a `./`, without which it would be that one.
    """
    option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    if os.sep not in value:
        return argument
    name = Path(value).name or value
    return f"{option}{equals}{'./' if name in DATA_SETS else ''}{name}"
