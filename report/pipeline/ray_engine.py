"""Run work on a Ray cluster, through the interface of concurrent.futures."""

import importlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any

from dogcam.data.workers import n_cores
from dogcam.errors import ConfigError, OutputError
from dogcam.models.classifier import Classifier
from report.pipeline.engines import Engine, Held, pickled
from report.pipeline.workers import in_turn

RETRIES = 3
"""How often an item is computed again whose worker died."""


class RayExecutor(Executor):
    """Submits each call as a task of Ray; a task whose worker dies runs again on another one.

    Args:
        ray: the module.
        n_gpus: of each task.
    """

    def __init__(self, ray: Any, n_gpus: int) -> None:
        self._ray = ray
        self._remote = ray.remote(num_cpus=1, num_gpus=n_gpus, max_retries=RETRIES)(_call)
        self.n_workers = int(ray.cluster_resources().get("GPU" if n_gpus else "CPU", 1))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Return the future of a call; its exception is that of the function."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        task = self._remote.remote(fn, args, kwargs).future()
        task.add_done_callback(partial(self._finish, future))
        return future

    def _finish(self, future: Future[Any], task: Future[Any]) -> None:
        error = task.exception()
        if error is None:
            future.set_result(task.result())
        elif isinstance(error, self._ray.exceptions.RayTaskError):
            future.set_exception(error.cause)
        else:
            lost = OutputError(f"a worker of Ray died {RETRIES + 1} times ({error}); mend it, and run again")
            future.set_exception(lost)

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[Any]:
        """Apply a function to items, several in a task; a few tasks wait for each worker."""
        rows = list(zip(*iterables, strict=True))
        chunks = (rows[start : start + chunksize] for start in range(0, len(rows), chunksize))
        return chain.from_iterable(in_turn(self, partial(_each, fn), chunks, 2 * self.n_workers))


def _call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return function(*args, **kwargs)


def _each(function: Callable[..., Any], chunk: Sequence[tuple[Any, ...]]) -> list[Any]:
    return [function(*each) for each in chunk]


@contextmanager
def _own_signals() -> Iterator[None]:
    """Restore the handlers of signals afterwards: Ray's own one for SIGTERM aborts the program."""
    handled = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for each, handler in handled.items():
                signal.signal(each, handler)


@contextmanager
def ray_engine(classifier: Classifier) -> Iterator[Engine]:
    """Connect to a Ray cluster for the duration of the context, and give the classifier to its workers.

    The cluster is that of the environment variable RAY_ADDRESS; without it, one is started on this machine.
    Its workers need this version of dogcam, and no files of this machine.

    Args:
        classifier: is copied to each worker once, on a device of the same kind.

    Raises:
        ConfigError: if Ray is not installed, the cluster is not reached, or the network cannot be copied.
    """
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError as error:
        raise ConfigError("Ray is not installed; run pip install 'dogcam[ray]'") from error
    content = pickled(classifier)
    if content is None:
        raise ConfigError(
            f"the network {classifier.name} cannot be copied to other processes (pickle fails); use "
            "--engine local"
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    local = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": n_cores(), "include_dashboard": False}
    try:
        with _own_signals():
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **local)
    except Exception as error:  # what Ray raises is not documented
        raise ConfigError(
            f"Ray does not start or connect ({error}); check RAY_ADDRESS, or use --engine local"
        ) from error
    try:
        executor = RayExecutor(ray, int(classifier.device.type == "cuda"))
        held = Held(classifier.weights_sha256(), classifier.device.type, partial(ray.get, ray.put(content)))
        yield Engine(executor, held, remote=True, n_workers=executor.n_workers)
    finally:
        ray.shutdown()
