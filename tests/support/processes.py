"""Fork processes, wait for them, and tell whether they live."""

import os
import signal
import time
import traceback
from collections.abc import Callable


def wait_until(happened: Callable[[], bool], seconds: float = 60) -> None:
    """Return when a condition holds; fail if it does not within some seconds."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"did not happen within {seconds} s"
        time.sleep(0.02)


def forked(work: Callable[[], object]) -> int:
    """Run a function in a forked process, which has torch imported already; return its process id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except SystemExit as ended:
        os._exit(ended.code if isinstance(ended.code, int) else 1)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def status_of(child: int, seconds: float = 60) -> int:
    """Wait for a forked process, and return how it ended; kill it if it does not end within some seconds."""
    found = []

    def has_ended() -> bool:
        number, status = os.waitpid(child, os.WNOHANG)
        found.append(status)
        return number == child

    try:
        wait_until(has_ended, seconds)
    except AssertionError:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    return os.waitstatus_to_exitcode(found[-1])


def group_lives(group: int) -> bool:
    """Return whether a process group has a process."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
