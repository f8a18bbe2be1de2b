"""The command `dogcam-report`: run an experiment, render its record, check the report against it."""

import os
import shlex
import sys
from pathlib import Path
from typing import get_args

import click

import dogcam
from dogcam.cli.common import ErrorGroup, choice, keeping, names_in
from dogcam.errors import RecordError
from dogcam.files import atomic_write, printable
from dogcam.structures.presets import PRESET_NAMES
from dogcam.structures.rules import BadBoxes, OnError
from report.config import ALL, REFERENCE, MapSource, Treatment, make_config, with_defaults
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
    help="A folder of templates that replace the program's or add sections; see docs/templates.md.",
)
_WATCH = click.option("--watch", is_flag=True, help="Go on, and render again when a template is saved.")
_FILE = click.Path(path_type=Path, dir_okay=False)
_FINISHED = click.Path(path_type=Path, exists=True, file_okay=False)
_HTML = click.option("--html", type=_FILE, help="Write the comparison as a page too.")
_MARKDOWN = click.option("--markdown", type=_FILE, help="Write it as Markdown there instead of printing it.")
_RUN = click.argument("run", type=_FINISHED)


@click.group(cls=ErrorGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(dogcam.__version__, prog_name="dogcam-report")
def main() -> None:
    """Measure where a classifier looks, and write it down in a report that cannot drift from its numbers."""


@main.command("run")
@click.option(
    "--data",
    default="sample",
    show_default=True,
    help="sample, voc2007, a data set (VOC, COCO, YOLO, CSV), or a folder of photographs.",
)
@click.option("--split", help="Reported split.  [default: test; val for a folder]")
@click.option("--tuning-split", help="What thresholds are chosen on, or none.  [default: val, or train]")
@click.option("--limit", type=int, help="How many images of the split.  [default: all; 500 for voc2007]")
@click.option("--tuning-limit", type=int, help="How many images of the tuning split.  [default: 1000]")
@choice(
    "--on-bad-box", "on_bad_box", get_args(BadBoxes), "refuse", "Boxes that are empty or leave their image."
)
@choice(
    "--on-error",
    "on_error",
    get_args(OnError),
    "fail",
    "Images with a fault: end with a list of all, or leave them out.",
)
@choice(
    "--difficult",
    "difficult",
    get_args(Treatment),
    "counted",
    "Objects marked difficult: counted, or ignored with the boxes on them.",
)
@choice(
    "--crowd",
    "crowd",
    get_args(Treatment),
    "ignored",
    "Boxes around crowds: ignored with the boxes on them, or counted.",
)
@click.option(
    "--target", "targets", multiple=True,
    help="A class to detect; repeatable, or all that are annotated and known.  [default: dog]",
)  # fmt: skip
@click.option(
    "--main-target",
    help="Of several classes, the one that the whole report is about.  [default: the first --target; for "
    "all, the class with the most objects]",
)  # fmt: skip
@click.option(
    "--model", metavar="NAME",
    help="The network.  [default: what the checkpoint's card names, else sample_net for sample, or resnet50]",
)  # fmt: skip
@click.option("--checkpoint", type=click.Path(path_type=Path), help="The network's weights.")
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
    "--precision", type=float,
    help="Precision of the operating point on the tuning split.  [default: the best F1 there]",
)  # fmt: skip
@choice(
    "--backend",
    "backend",
    get_args(MapSource),
    REFERENCE,
    "What computes the maps of the target layer; another than the reference is compared with it.",
)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, ..., or auto.")
@click.option("--batch-size", type=int, default=16, show_default=True)
@click.option("--seed", type=int, default=2007, show_default=True, help="Of the bootstrap and the gallery.")
@click.option(
    "--resamples", "n_resamples", type=int, default=2000, show_default=True, help="Of the bootstrap."
)
@click.option(
    "--confidence-level", type=float, default=0.95, show_default=True, help="Level of the intervals."
)
@click.option("--out", type=_FOLDER, help="The run's folder.  [default: build/NAME]")
@click.option("--cache", type=_FOLDER, help="Where data sets are kept.")
@_TEMPLATES
@_WATCH
def run_command(
    out: Path | None, cache: Path | None, own: Path | None, watch: bool, **options: object
) -> None:
    """Run the whole experiment and render its report."""
    # Imported here, because the other commands need none of it.
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
        record = run(config, folder, cache, command, ConsoleProgress(), templates)
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
    """Render the report of a finished run again; takes a second and needs no torch."""
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
    help="What the record must hold, as 'grad_cam.ap@0.5 >= 0.4'; can be given several times.",
)
def check(run: Path, own: Path | None, required: tuple[str, ...]) -> None:
    """Refuse a report whose prose and record disagree, or whose templates state results by hand."""
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
    """Show what is different in the run AFTER from the run BEFORE."""
    # Resampling takes scipy, for which rendering should not have to wait.
    from report.diff import compare_runs

    _write(render_diff(compare_runs(before, after), open_templates(own)), html, markdown)


def _write(texts: dict[str, str], html: Path | None, markdown: Path | None) -> None:
    """Write the page if asked, and the Markdown to its file or to the standard output."""
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
    """Show two or more RUNS side by side, with paired intervals of the differences from the first."""
    from report.compare import compare_all

    _write(render_diff(compare_all(runs), open_templates(own)), html, markdown)


@main.command()
def schema() -> None:
    """Print the JSON Schema of the record."""
    click.echo(json_schema(), nl=False)


def _watch(run: Path, own: Path | None) -> None:
    """Render a run again and again; templates are searched each time, because files are added and removed."""
    folders = [folder for folder in (own, templates_folder()) if folder is not None]
    watch_folders(
        lambda: write_report(read_record(run), run, open_templates(own)),
        folders,
        lambda line: click.echo(line, err=True),
    )


def _without_path(argument: str) -> str:
    """Return an argument of the command line with a path reduced to its last name."""
    option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return f"{option}{equals}{Path(value).name or value}" if os.sep in value else argument
