"""Read the record of a finished run, print its average precision, and render the report again.

python examples/render_run.py RUN
"""

import sys
from pathlib import Path

from report.record.io import read_results
from report.render.loader import open_templates
from report.render.render import write_report


def main(folder: str) -> None:
    run = Path(folder)
    record = read_results(run)
    for row in record.detection.method(record.operating_point.method).rows:
        print(f"IoU {row.iou}: AP {row.ap:.4f}, recall {row.recall:.4f}")
    print(write_report(record, run, open_templates(None)))


if __name__ == "__main__":
    main(*sys.argv[1:])
