"""What was run, when and where: program, libraries, machine."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import dogcam
from dogcam.errors import ConfigError
from report import record as results
from report.pipeline.fingerprint import versions


def run_info(command: str, device: str, n_threads: int, runs: list[results.StageRun]) -> results.RunInfo:
    """Describe the program, its libraries, the machine and the stages of a run.

    Args:
        command: the command line, without paths.
        device: the type of the device of the network.
        n_threads: how many threads torch uses.
        runs: how each stage ended.
    """
    commit, modified = _commit()
    return results.RunInfo(
        dogcam_version=dogcam.__version__,
        commit=commit,
        modified=modified,
        command=command,
        finished=finished_at().isoformat(timespec="seconds"),
        versions=versions(),
        platform=f"{platform.system()} {platform.machine()}",
        device=device,
        n_threads=n_threads,
        stages=runs,
    )


def finished_at() -> datetime:
    """Return the time that SOURCE_DATE_EPOCH states, so that records are equal, or the current time.

    Raises:
        ConfigError: if SOURCE_DATE_EPOCH is no number of seconds.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if not epoch:
        return datetime.now(UTC)
    try:
        return datetime.fromtimestamp(int(epoch), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise ConfigError(
            f"the environment variable SOURCE_DATE_EPOCH is {epoch!r}; expected seconds since 1970: unset it"
        ) from error


def _commit() -> tuple[str | None, bool]:
    """Return the checkout's commit, None outside of one, and whether tracked files differ from it."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        state = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None, False
    return commit.stdout.strip(), bool(state.stdout.strip())
