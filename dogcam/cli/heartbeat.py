"""Print progress at regular intervals to log files and CI, which have no progress bar."""

import threading
import time
from collections.abc import Callable
from types import TracebackType

SECONDS = 15.0
"""Time without a line after which one is printed. The first line waits for imports, too: at most 20 s."""


class Heartbeat:
    """A thread that prints a line if no other line was printed for a time.

    Args:
        say: prints a line.
        seconds: longest time without a line.

    Use it as a context manager; the thread ends with it.
    """

    def __init__(self, say: Callable[[str], None], seconds: float = SECONDS) -> None:
        self._say = say
        self._seconds = seconds
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._step = ("start", 0, 0, time.monotonic())
        self._around: tuple[str, int, int, float] | None = None
        self._last = time.monotonic()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def begin(self, description: str, total: int = 0) -> None:
        """Begin a step; a total of 0 is unknown. Such a step goes on after a counted one has ended."""
        with self._lock:
            self._step = (description, 0, total, time.monotonic())
            if not total:
                self._around = self._step

    def count(self, done: int, total: int) -> None:
        """Set the progress of the step."""
        with self._lock:
            description, _, _, start = self._step
            ended = bool(total) and done >= total
            self._step = (ended and self._around) or (description, done, total, start)

    def spoken(self) -> None:
        """Register that a line was printed."""
        self._last = time.monotonic()

    def line(self) -> str:
        """Return the next line: step, done of total, rate and time left."""
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
