"""Threads and processes: the order of the results, faults, and what is taken ahead."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from dogcam.data.images import VOID, read_mask
from dogcam.data.reading import read_split
from dogcam.data.workers import worker_processes
from dogcam.detection.boxes_from_maps import LocalisationRule, localise_maps
from report.pipeline import workers
from report.pipeline.shared.mask_counts import FilledBoxes, FullImage, Grown, Thresholded, count_masks
from report.pipeline.workers import in_processes, in_processes_as_made, in_threads


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_results_of_threads_come_in_the_order_of_the_items(n_threads):
    def slow_first(item: int) -> int:
        time.sleep(0.01 if item == 0 else 0)
        return item**2

    assert list(in_threads(slow_first, range(20), n_threads)) == [item**2 for item in range(20)]


def test_threads_run_at_the_same_time():
    both = threading.Barrier(2, timeout=60)
    assert len(list(in_threads(lambda _: both.wait(), range(2), 2))) == 2


def test_items_are_taken_as_results_are():
    """Decoded photographs are large: only a few may wait."""
    taken = []
    results = in_threads(lambda item: item, (taken.append(item) or item for item in range(100)), 2)
    assert next(results) == 0
    assert len(taken) == 5
    results.close()
    assert len(taken) == 5


def test_a_fault_comes_at_its_place():
    results = in_threads(lambda item: 1 // item, [1, 1, 0, 1], 2)
    assert [next(results), next(results)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_items_that_are_made_one_by_one_keep_their_order(monkeypatch):
    monkeypatch.setattr(workers, "n_cores", lambda: 2)
    taken = []
    with ThreadPoolExecutor(3) as pool:
        found = in_processes_as_made(pool, abs, (taken.append(n) or -n for n in range(500)), 500)
        assert next(found) == 0 and len(taken) == 5
        assert [0, *found] == list(range(500))
    # Few items are not worth the start of processes.
    assert list(in_processes_as_made(pool, abs, iter([-1, -2]), 2)) == [1, 2]


def with_and_without_processes(function, *columns) -> tuple[list, list]:
    with worker_processes(2) as pool:
        return list(in_processes(None, function, *columns)), list(in_processes(pool, function, *columns))


@pytest.mark.slow
def test_boxes_do_not_depend_on_the_number_of_processes(monkeypatch):
    monkeypatch.setattr(workers, "FEWEST", 1)
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(70, 7, 7)).astype(np.float32)
    rules = [[LocalisationRule(0.2), LocalisationRule(0.5)]]
    columns = maps[:, None], [(90, 120)] * 70, rng.random((70, 1)), [rules] * 70
    found = with_and_without_processes(localise_maps, *columns)
    one, two = ([located for (located,) in each] for each in found)
    assert sum(len(boxes) for located in one for boxes, _ in located) > 70
    for expected, found in zip(one, two, strict=True):
        for (boxes, scores), (other_boxes, other_scores) in zip(expected, found, strict=True):
            assert boxes.tobytes() == other_boxes.tobytes()
            assert scores.tobytes() == other_scores.tobytes()


@pytest.mark.slow
def test_few_items_start_no_process():
    with worker_processes(2) as pool:
        few = list(in_processes(pool, _pid, range(workers.FEWEST - 1)))
        many = list(in_processes(pool, _pid, range(workers.FEWEST)))
    assert set(few) == {os.getpid()} and os.getpid() not in many
    assert set(in_processes(None, _pid, range(workers.FEWEST))) == {os.getpid()}


def _pid(_item: int) -> int:
    return os.getpid()


def test_masks_are_counted_alike_in_processes(monkeypatch, small_data):
    monkeypatch.setattr(workers, "FEWEST", 1)
    images = read_split(small_data, "test").images[:6]
    rng = np.random.default_rng(0)
    maps = [None, *rng.random((5, 6, 6)).astype(np.float32)]
    rules = (Grown(0.5, 0.2), Thresholded(0.4), FilledBoxes(LocalisationRule(0.4)), FullImage())
    count = partial(count_masks, index=12, rules=rules)
    one, two = with_and_without_processes(count, images, maps)
    assert one == two
    for image, counts in zip(images[1:], one[1:], strict=True):
        # The mask of all pixels holds every annotated one, and every pixel that is not void.
        mask = read_mask(image)
        assert counts[-1].intersection == counts[-1].truth == (mask == 12).sum()
        assert counts[-1].union == (mask != VOID).sum()


@pytest.mark.slow
def test_processes_start_without_torch():
    code = (
        "import sys, dogcam.detection.boxes_from_maps\n"
        "import report.pipeline.locate\n"
        "import report.pipeline.shared.map_scores, report.pipeline.shared.mask_counts\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
