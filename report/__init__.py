"""Run an experiment in stages, keep its results in one record, and render that record as a report.

`run_report` is the public interface; `dogcam-report run` is the same on the command line.
"""

from __future__ import annotations

# As in `dogcam`: a command catches Ctrl-C from here on.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from report.record import Results
    from report.record.photographs import Photographs

__all__ = ["run_report"]


def run_report(
    data: str | Path = "sample",
    out: str | Path = "build/report",
    *,
    target: str | Sequence[str] = "dog",
    main_target: str | None = None,
    cache: str | Path | None = None,
    templates: str | Path | None = None,
    quiet: bool = True,
    **settings: object,
) -> Results | Photographs:
    """Measure a classifier's boxes on a data set, and write the report.

    Args:
        data: `sample`, `voc2007`, the path of a data set in any format of `dogcam.data.formats`, or that of a
            folder of photographs, on which nothing is measured.
        out: the run's folder. It receives `report.html`, `report.md`, `results.json` and the tables; valid
            outputs of an earlier run there are reused.
        target: a class, several, or `all`: every annotated class that the classifier knows.
        main_target: of several classes, the one that the whole report is about; the first by default.
        cache: where data sets are kept; None for the user's cache.
        templates: a folder of your own templates.
        quiet: print no progress to the standard error.
        **settings: any other field of `report.config.RunConfig`, such as `split`, `model`, `checkpoint`,
            `limit` or `pools`, with the defaults of `dogcam-report run`.

    Returns:
        The record: every number of the report, as typed attributes; of photographs without annotations a
        `report.record.photographs.Photographs`.

    Raises:
        DogcamError: if data, weights or settings are faulty; the message says what to do.

    Example:
        >>> from report import run_report
        >>> record = run_report("sample", "build/quick", limit=12, tuning_limit=12)
        >>> record.data.reported.n_images
        12
        >>> 0 <= record.detection.method("grad_cam").rows[0].ap <= 1
        True
    """
    from pathlib import Path

    from rich.console import Console

    from report.config import make_config, with_defaults
    from report.progress import ConsoleProgress
    from report.render.loader import open_templates
    from report.running import run

    names = (target,) if isinstance(target, str) else tuple(target)
    given = {"data": str(data), "targets": names, "main_target": main_target, **settings}
    config = make_config(**with_defaults(given))
    progress = ConsoleProgress(Console(stderr=True, quiet=quiet, highlight=False))
    folder = Path(cache) if cache is not None else None
    own = open_templates(Path(templates) if templates is not None else None)
    return run(config, Path(out), folder, "report.run_report(...)", progress, own)
