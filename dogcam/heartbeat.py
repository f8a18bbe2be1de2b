"""Say at regular intervals how far a run is, for log files and CI, which get no progress bar."""

import threading
import time
from collections.abc import Callable
from types import TracebackType

SECONDS = 20.0
"""The longest time without a line."""


class Heartbeat:
    """A thread that writes a line if nothing else was written for a while.

    Args:
        say: writes a line.
        seconds: the longest time without a line.

    Use it as a context manager; the thread ends with it.
    """

    def __init__(self, say: Callable[[str], None], seconds: float = SECONDS) -> None:
        self._say = say
        self._seconds = seconds
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._step = ("start", 0, 0, time.monotonic())
        self._last = time.monotonic()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def begin(self, description: str, total: int = 0) -> None:
        """Name the step that begins now; a total of 0 is an unknown one."""
        with self._lock:
            self._step = (description, 0, total, time.monotonic())

    def count(self, done: int, total: int) -> None:
        """Say how much of the step is done."""
        with self._lock:
            description, _, _, start = self._step
            self._step = (description, done, total, start)

    def spoken(self) -> None:
        """Note that a line was written."""
        self._last = time.monotonic()

    def line(self) -> str:
        """Return what the next line says: step, done of total, rate and time left."""
        with self._lock:
            description, done, total, start = self._step
        elapsed = time.monotonic() - start
        if not done or elapsed <= 0:
            return f"{description}: {elapsed:.0f} s so far"
        rate = done / elapsed
        left = f", {(total - done) / rate:.0f} s left" if total >= done else ""
        return f"{description}: {done}/{total or '?'}, {rate:.3g}/s{left}"

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(min(1.0, self._seconds / 4)):
            if time.monotonic() - self._last >= self._seconds:
                self.spoken()
                self._say(self.line())
