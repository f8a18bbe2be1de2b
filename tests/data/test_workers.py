"""Worker processes end with their parent, and one that was killed is one clear error."""

import os
import signal

import pytest

from dogcam.data.workers import worker_processes
from dogcam.errors import OutputError


def _end(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.slow
def test_a_killed_worker_is_one_error():
    with pytest.raises(OutputError, match="memory"), worker_processes(1) as pool:
        list(pool.map(_end, [signal.SIGKILL]))


@pytest.mark.slow
def test_ctrl_c_does_not_reach_a_worker():
    with worker_processes(1) as pool:
        list(pool.map(_end, [signal.SIGINT]))
        assert pool.submit(abs, -3).result() == 3
