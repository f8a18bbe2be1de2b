"""The engines: where the network runs changes no byte, and a fault or a death is stated or repeated."""

import os
import signal
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from dogcam.data.workers import worker_processes
from dogcam.errors import ConfigError, DataError
from report.pipeline import engines
from report.pipeline.engines import Engine, Held, apply, pickled, share_out
from report.pipeline.held import content, hold
from report.pipeline.ray_engine import ray_engine
from report.pipeline.stages import sanity
from tests.support.runs import invoke, options
from tests.support.stages import after, context_of
from tests.support.work import die_once, name_of, refuse


@pytest.fixture
def context(small_data, small_checkpoint, tmp_path):
    return context_of(small_data, small_checkpoint, tmp_path)


@pytest.fixture
def at_once(monkeypatch):
    """Any work is worth processes, of which two fit into memory."""
    monkeypatch.setattr(engines, "LEAST_SECONDS", -1.0)
    monkeypatch.setattr(engines, "n_fitting", lambda: 2)


@pytest.fixture
def terminated():
    """The signals SIGTERM that this process received."""
    received = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    yield received
    signal.signal(signal.SIGTERM, before)


def everything(context):
    """The files of the predictions, the boxes, and the sanity checks."""
    done = after(context, "predict", "localise")
    names = done.outputs["predict"]["files"]
    files = {name: (context.folder / name).read_bytes() for name in names}
    return files, done.outputs["localise"], sanity.run(done)


@pytest.mark.slow
def test_processes_compute_the_same_bytes(context, at_once):
    here = everything(context)
    with worker_processes(2, partial(hold, pickled(context.classifier))) as pool:
        engine = Engine(pool, Held("tiny", "cpu", content))
        there = everything(replace(context, engine=engine, folder=context.folder / "there"))
        names, numbers, pids = zip(*engine.apply(name_of, range(20)), strict=True)
    assert {name.removeprefix("there/"): each for name, each in there[0].items()} == here[0]
    assert there[1:] == here[1:]
    assert (set(names), list(numbers), len(set(pids))) == ({"sample_net"}, list(range(20)), 2)


@pytest.mark.gate
@pytest.mark.parametrize("n_workers", [1, 2])
def test_ray_computes_the_same_bytes(context, monkeypatch, n_workers, terminated):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("report.pipeline.ray_engine.n_cores", lambda: n_workers)
    monkeypatch.setattr("report.pipeline.workers.FEWEST", 1)
    here = everything(context)
    with ray_engine(context.classifier) as engine:
        there = everything(replace(context, engine=engine, folder=context.folder / "there"))
        pids = {pid for _, _, pid in engine.apply(name_of, range(20))}
        # The death of a worker loses nothing, and a fault is that of the function.
        marker = context.folder / "died"
        assert list(engine.apply(die_once, [marker] * 3)) == ["sample_net"] * 3
        assert marker.exists()
        with pytest.raises(DataError, match="photograph 7"):
            list(engine.apply(refuse, [7]))
        os.kill(os.getpid(), signal.SIGTERM)  # Ray's own handler would abort this process
    assert terminated == [signal.SIGTERM]
    assert {name.removeprefix("there/"): each for name, each in there[0].items()} == here[0]
    assert there[1:] == here[1:]
    assert 1 <= len(pids) <= n_workers


def test_images_are_sent_with_their_files_to_other_machines(context):
    image = context.reported.images[0]
    for remote in (False, True):
        engine = Engine(None, Held("tiny", "cpu", content), remote=remote)
        (sent,) = engines.sent(engine, [image])
        assert sent.content == (image.path.read_bytes() if remote else None)
        assert np.array_equal(sent.read(None), context.read(image))
    elsewhere = replace(sent, image=replace(image, path=image.path.with_name("not here.jpg")))
    assert np.array_equal(elsewhere.read(None), context.read(image))


def test_little_work_stays_in_this_process(monkeypatch):
    class Fast:
        remote = False

    def never(engine, items):
        raise AssertionError("workers were started")

    assert list(share_out(Fast(), iter, never, range(5))) == list(range(5))
    monkeypatch.setattr(engines, "LEAST_SECONDS", -1.0)
    monkeypatch.setattr(engines, "n_fitting", lambda: 1)
    assert list(share_out(Fast(), iter, never, range(5))) == list(range(5))
    monkeypatch.setattr(engines, "n_fitting", lambda: 2)
    there = share_out(Fast(), iter, lambda engine, items: (-item for item in items), range(5))
    assert list(there) == [0, -1, -2, -3, -4]


def test_without_workers_everything_is_computed_here(context):
    found = apply(None, context.classifier, name_of, [1, 2])
    assert [(name, number) for name, number, _ in found] == [("sample_net", 1), ("sample_net", 2)]


def test_a_network_that_cannot_be_pickled_stays(context):
    network = context.classifier.network
    network.mine = lambda images: images
    assert pickled(context.classifier) is None
    del network.mine
    assert pickled(context.classifier) is not None


def test_a_worker_computes_on_one_core(context):
    before = torch.get_num_threads()
    try:
        hold(pickled(context.classifier))
        assert Held("one core", "cpu", content).classifier().name == "sample_net"
        assert torch.get_num_threads() == 1
    finally:
        hold(None)
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("more", "named"),
    [(["--backend", "onnx"], "onnx"), (["--data", "PHOTOGRAPHS"], "photographs")],
    ids=["a backend", "photographs"],
)
def test_ray_refuses_what_it_does_not_run(small_data, small_checkpoint, tmp_path, more, named):
    words = [str(small_data / "JPEGImages") if word == "PHOTOGRAPHS" else word for word in more]
    found = invoke(options(small_data, small_checkpoint, tmp_path / "out", *words, "--engine", "ray"))
    assert found.exit_code != 0 and "--engine ray" in found.stderr and named in found.stderr


def test_ray_refuses_a_network_that_cannot_be_copied(context):
    context.classifier.network.mine = lambda images: images
    with pytest.raises(ConfigError, match="pickle"), ray_engine(context.classifier):
        pass


def test_without_ray_its_extra_is_named(context, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"dogcam\[ray\]"), ray_engine(context.classifier):
        pass
