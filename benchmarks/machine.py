"""Describe the machine, date and versions of a measurement."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path


def describe_run(packages: Sequence[str], quick: bool) -> dict[str, object]:
    """Return date, processor, load and versions, without the name of the machine."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": os.cpu_count(),
        "load_1min_at_start": round(os.getloadavg()[0], 2),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
    }


def processor() -> str:
    """Return the processor's name, or its architecture if the system does not report it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def in_words(run: dict[str, object]) -> str:
    """Return the description as the line below a table."""
    versions = ", ".join(f"{name} {number}" for name, number in run["versions"].items())
    machine = f"{run['processor']}, {run['cores']} cores, load {run['load_1min_at_start']} at the start"
    return f"{run['date']}: {machine}; {versions}"
