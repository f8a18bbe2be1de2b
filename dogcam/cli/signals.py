"""SIGINT and SIGTERM raise exceptions: a command closes its files and states which results are kept."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM
"""Exit statuses after Ctrl-C (130) and SIGTERM (143), as shells report them."""


class Terminated(BaseException):
    """Raised at SIGTERM. As with `KeyboardInterrupt`, `finally` blocks run and files are closed."""


Stop = KeyboardInterrupt | Terminated


class Signals:
    """The exception of the signal that arrived, also if a library has replaced it by one of its own."""

    arrived: Stop | None = None

    @classmethod
    def behind(cls, error: BaseException) -> Stop | None:
        """Return the interruption that an exception is or comes from; None for an error."""
        return error if isinstance(error, Stop) else cls.arrived

    @classmethod
    def take(cls, error: BaseException) -> Stop | None:
        """Return it for the last time: kept longer, it would keep the frames and open files behind it."""
        stop, cls.arrived = cls.behind(error), None
        return stop


@contextmanager
def keeping(message: Callable[[], str]) -> Iterator[None]:
    """Add a note to an interruption: what is kept, and how to continue.

    Args:
        message: is called at the interruption.
    """
    try:
        yield
    except BaseException as error:
        if (stop := Signals.behind(error)) is not None:
            stop.add_note(message())
        raise


@contextmanager
def signals_raise() -> Iterator[None]:
    """Raise at SIGTERM and SIGINT until the context ends, and note it; forked processes just end."""
    Signals.arrived = None
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner = os.getpid()

    def handle(number: int, _frame: FrameType | None) -> None:
        if os.getpid() == owner:
            Signals.arrived = Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
            raise Signals.arrived
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    lost: list[threading.Timer] = []

    def drop(dropped: "sys.UnraisableHookArgs") -> None:
        """Send a signal again that arrived in a destructor: Python drops what is raised there."""
        if not isinstance(dropped.exc_value, Stop):
            previous_hook(dropped)
            return
        number = signal.SIGTERM if isinstance(dropped.exc_value, Terminated) else signal.SIGINT
        lost.append(threading.Timer(0.01, _send, [number]))
        lost[-1].start()

    previous_hook, sys.unraisablehook = sys.unraisablehook, drop
    previous = {signal.SIGTERM: signal.signal(signal.SIGTERM, handle)}
    # A process in the background of a shell ignores SIGINT, and goes on doing so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        previous[signal.SIGINT] = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        sys.unraisablehook = previous_hook
        for timer in lost:
            timer.cancel()
        for number, handler in previous.items():
            signal.signal(number, handler)


def _send(number: int) -> None:
    """Send a signal to the main thread. On POSIX systems it also ends a blocking call."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)
