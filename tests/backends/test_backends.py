"""Every backend makes the engine's maps, is kept on disk, and says so where it cannot be had."""

import re
import shutil
from collections.abc import Iterable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from dogcam.backends import (
    BACKENDS,
    Backend,
    Quantisation,
    fastest,
    fastest_backend,
    load_backend,
    loading,
    needs_calibration,
    packages_of,
)
from dogcam.backends.maps_network import maps_network, require_same
from dogcam.backends.quantisation import quantise
from dogcam.cam import Cam, GradCam, explain
from dogcam.data.workers import worker_processes
from dogcam.errors import ConfigError, ModelError
from dogcam.models.classifier import Classifier
from dogcam.models.preprocessing import Preprocessing
from dogcam.network.heads import JointHead, LogOddsHead
from tests.support import tiny_networks
from tests.support.tiny_networks import CLASSES, images, snapshot
from tests.support.work import maps_by

SIZES = {"wide": (20, 28), "square": (24, 24)}

pytestmark = pytest.mark.filterwarnings("error::UserWarning:dogcam.backends")


def known_head() -> LogOddsHead:
    return LogOddsHead(nn.Linear(7, 9), [[0, 1], [2], [1, 5, 6], [8]])


HEADS = {
    "linear": lambda: nn.Linear(7, CLASSES),
    "no_bias": lambda: nn.Linear(7, CLASSES, bias=False),
    "log_odds": known_head,
    "joint": lambda: JointHead(nn.Linear(7, CLASSES), LogOddsHead(nn.Linear(7, 9), [[0, 1]]), [2]),
}


def classifier(network: nn.Module, size: tuple[int, int], layer: str = "features") -> Classifier:
    return Classifier(
        "tiny", network, tuple("abcd"), Preprocessing(size), layer, "features", "head", "", "sigmoid"
    )


def tiny(head: str = "linear", size: str = "wide") -> Classifier:
    torch.manual_seed(3)
    return classifier(tiny_networks.pooled(HEADS[head](), torch.float32), SIZES[size])


def batches(size: str, *counts: int) -> list[Tensor]:
    return list(images(sum(counts), torch.float32, SIZES[size]).split(counts))


def of_peak(maps: Tensor) -> Tensor:
    positive = maps.relu()
    return positive / positive.amax(dim=(2, 3), keepdim=True).clamp(min=1e-12)


def assert_engine_maps(backend, given: Classifier, parts: Iterable[Tensor]) -> None:
    """Logits, signed maps, and maps as shares of their peaks are the engine's, batch by batch."""
    for part in parts:
        assert_same_maps(*backend.maps(part), given, part)


def assert_same_maps(logits: Tensor, maps: Tensor, given: Classifier, batch: Tensor) -> None:
    requests = [Cam("features", "head"), GradCam("features")]
    expected = explain(given.network, batch, range(CLASSES), requests)
    torch.testing.assert_close(logits, expected.logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(maps, expected.maps[0], rtol=0, atol=1e-4 * float(maps.abs().max()))
    torch.testing.assert_close(of_peak(maps), of_peak(expected.maps[1]), rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("backends")


@pytest.fixture(scope="module")
def exported() -> bytes:
    return loading.export(tiny(), maps_network(tiny()))


@pytest.fixture
def export_once(exported, monkeypatch):
    """Return the bytes of one export wherever `tiny()` is exported: the exporter takes two seconds."""
    monkeypatch.setattr(loading, "export", lambda *_: exported)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("size", SIZES)
def test_torch_makes_the_maps_of_the_engine(head, size, cache):
    given = tiny(head, size)
    backend = load_backend("torch", given, cache)
    assert (backend.name, backend.kind) == ("torch", "cam")
    assert_engine_maps(backend, given, batches(size, 1, 3, 3, 2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "size"), [("linear", "wide"), ("no_bias", "square"), ("log_odds", "wide"), ("joint", "wide")]
)
def test_onnx_makes_the_maps_of_the_engine(head, size, cache):
    given = tiny(head, size)
    backend = load_backend("onnx", given, cache)
    assert (backend.name, backend.kind, list(backend.versions)) == ("onnx", "cam", ["onnxruntime"])
    assert_engine_maps(backend, given, batches(size, 1, 3, 3, 2))


@pytest.mark.slow
@pytest.mark.parametrize(("head", "size"), [("linear", "wide"), ("log_odds", "square")])
def test_openvino_makes_the_maps_of_the_engine(head, size, cache):
    given = tiny(head, size)
    backend = load_backend("openvino", given, cache)
    assert (backend.name, backend.kind, list(backend.versions)) == ("openvino", "cam", ["openvino"])
    assert_engine_maps(backend, given, batches(size, 1, 3, 3, 2))
    other = "square" if size == "wide" else "wide"
    with pytest.raises(ModelError, match=re.escape(str(SIZES[size][0]))):
        backend.maps(*batches(other, 1))


@pytest.mark.slow
def test_maps_of_a_batch_are_kept_when_the_next_one_runs(cache):
    backend = load_backend("openvino", tiny(), cache)
    first, second = batches("wide", 2, 2)
    maps = backend.maps(first)[1]
    before = maps.clone()
    backend.maps(second)
    assert torch.equal(maps, before)


class Clock:
    """A clock that backends advance by what a batch costs."""

    def __init__(self, costs: dict[str, float]) -> None:
        self.now, self.costs, self.ran = 0.0, costs, []

    def backend(self, name, *_others, **_more) -> Backend:
        if self.costs[name] is None:
            raise ModelError(f"no compiler for {name}")

        def maps(batch):
            self.ran.append((name, tuple(batch.shape)))
            self.now += self.costs[name]

        return Backend(name, "cam", maps)

    def perf_counter(self) -> float:
        return self.now


@pytest.mark.parametrize("winner", ["torch", "onnx", "openvino"])
def test_the_fastest_exact_backend_is_chosen_by_its_rate(winner, cache, monkeypatch):
    costs = {"torch": 4.0, "compiled": None, "onnx": 2.5, "openvino": 2.0, "int8": 0.1} | {winner: 1.0}
    clock, said = Clock(costs), []
    monkeypatch.setattr(fastest, "load_backend", clock.backend)
    monkeypatch.setattr(fastest, "time", clock)
    monkeypatch.setattr(loading, "find_spec", lambda _package: True)
    found = fastest_backend(tiny(), cache, 8, said.append)
    assert found.backend.name == winner
    assert found.rates == {name: 8 / costs[name] for name in ("torch", "onnx", "openvino")}
    assert found.batch_size == 8 and {shape for _, shape in clock.ran} == {(8, 3, 20, 28)}
    assert len(said) == 1 and "compiled" in said[0]


def test_a_backend_that_is_not_installed_is_not_measured(cache, monkeypatch):
    monkeypatch.setattr(loading, "find_spec", lambda package: None if package == "openvino" else True)
    clock = Clock({"torch": 4.0, "compiled": 3.0, "onnx": 2.5})
    monkeypatch.setattr(fastest, "load_backend", clock.backend)
    monkeypatch.setattr(fastest, "time", clock)
    found = fastest_backend(tiny(), cache, 2, pytest.fail)
    assert list(found.rates) == ["torch", "compiled", "onnx"]


def test_nothing_is_measured_for_a_network_of_another_build(cache, monkeypatch):
    ran, said = [], []
    monkeypatch.setattr(fastest, "time", Clock({}))
    monkeypatch.setattr(loading, "explaining_backend", lambda _: Backend("torch", "grad_cam", ran.append))
    found = fastest_backend(replace(tiny(), head=None), cache, 2, said.append)
    assert (found.backend.kind, found.rates, ran) == ("grad_cam", {}, [])
    assert len(said) == 1 and "torch" in said[0]


@pytest.mark.gate
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler; found no g++")
def test_the_compiled_network_makes_the_maps_of_the_engine(cache):
    """After compiling, no forked process can differentiate, and other tests fork this one."""
    given = tiny()
    # One size of batch alone: each waits for the compiler.
    (batch,) = batches("wide", 3)
    with worker_processes(1) as pool:
        name, logits, maps = pool.submit(maps_by, "compiled", given, cache, batch).result()
    assert name == "compiled"
    assert_same_maps(logits, maps, given, batch)


@pytest.mark.slow
def test_int8_is_near_and_not_the_same(cache):
    given, calibration = tiny(), batches("wide", 3, 3)
    backend = load_backend("int8", given, cache, calibration)
    assert backend.name == "int8"
    (part,) = batches("wide", 4)
    logits, maps = backend.maps(part)
    exact = load_backend("torch", given, cache).maps(part)
    for found, expected in ((logits, exact[0]), (maps, exact[1])):
        difference = (found - expected).abs().max() / expected.abs().max()
        # The error depends on the processor's 8-bit arithmetic; 0.127 of the peak was measured.
        assert 0 < difference < 0.2


@pytest.mark.slow
def test_every_batch_tells_which_values_occur_whatever_their_number(tmp_path, export_once):
    """A calibrator that empties its buffer when it is full fails on some numbers, and forgets batches."""
    onnx = pytest.importorskip("onnx")
    load_backend("onnx", tiny(), tmp_path)
    (exported,) = tmp_path.iterdir()

    def scale_of_the_images(calibration):
        graph = onnx.load_from_string(quantise(exported, Quantisation(), calibration)).graph
        values = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
        (scale,) = (values[node.input[1]] for node in graph.node if node.input[0] == "images")
        return float(scale)

    narrow = batches("wide", 2, 2, 2, 2, 2, 2, 2)
    wide = 10 * narrow[0]
    for n in (0, 3, 7):
        expected = (wide.max() - wide.min()) / 255
        assert scale_of_the_images([wide, *narrow[:n]]) == pytest.approx(expected.item(), rel=1e-4)
    assert scale_of_the_images(narrow) < 0.5 * expected


@pytest.mark.slow
def test_int8_computes_convolutions_in_whole_numbers_and_the_head_in_floating_point(cache):
    onnx = pytest.importorskip("onnx")
    load_backend("int8", tiny(), cache, batches("wide", 3, 3))
    names = {path: {node.op_type for node in onnx.load(path).graph.node} for path in cache.glob("*.onnx")}
    quantised = [path for path, kinds in names.items() if "QuantizeLinear" in kinds]
    assert len(quantised) == 1
    graph = onnx.load(quantised[0]).graph
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    weights = [made_by.get(node.input[1]) for node in graph.node if node.op_type == "Conv"]
    assert weights == ["DequantizeLinear", "DequantizeLinear", None]


@pytest.mark.slow
def test_what_was_exported_is_used_again_until_something_changes(tmp_path, monkeypatch, export_once):
    given = tiny()
    first = load_backend("onnx", given, tmp_path)
    (path,) = tmp_path.iterdir()
    monkeypatch.setattr(loading, "export", lambda *_: pytest.fail("exported again"))
    (part,) = batches("wide", 2)
    assert torch.equal(load_backend("onnx", given, tmp_path).maps(part)[1], first.maps(part)[1])
    path.write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"\.onnx.*INVALID_PROTOBUF"):
        load_backend("onnx", given, tmp_path)
    with torch.no_grad():
        given.network.head.bias += 1
    with pytest.raises(pytest.fail.Exception, match="exported again"):
        load_backend("onnx", given, tmp_path)


@pytest.mark.slow
def test_calibration_and_quantisation_are_part_of_the_key(cache):
    from dogcam.backends.quantisation import settings_of

    some, others = batches("wide", 2, 2)
    settings = [
        settings_of(Quantisation(), [some]),
        settings_of(Quantisation(), [others]),
        settings_of(Quantisation("percentile"), [some]),
        settings_of(Quantisation(float_first=1), [some]),
    ]
    assert all(a != b for i, a in enumerate(settings) for b in settings[:i])
    assert settings_of(Quantisation(), [some.clone()]) == settings[0]


@pytest.mark.slow
def test_an_export_with_other_maps_is_refused_and_not_kept(tmp_path, monkeypatch):
    other = maps_network(tiny("no_bias"))
    real = loading.export
    monkeypatch.setattr(loading, "export", lambda given, _: real(given, other))
    with pytest.raises(ModelError, match=r"logits.* 0\.87"):
        load_backend("onnx", tiny(), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_an_export_whose_check_does_not_end_is_not_kept(tmp_path, monkeypatch, export_once, ending):
    cache, real = tmp_path / "cache", loading.require_same

    def interrupted(*_):
        raise ending

    monkeypatch.setattr(loading, "require_same", interrupted)
    with pytest.raises(ending):
        load_backend("onnx", tiny(), cache)
    assert not cache.exists()
    # The next run exports and checks again, and keeps what passed.
    checked = []
    monkeypatch.setattr(loading, "require_same", lambda *given: (checked.append(given[2]), real(*given)))
    load_backend("onnx", tiny(), cache)
    assert checked == ["the logits of the exported network", "the maps of the exported network"]
    assert len(list(cache.iterdir())) == 1


@pytest.mark.slow
def test_while_an_export_is_checked_nothing_stands_in_the_cache(tmp_path, monkeypatch, export_once):
    """A process that is killed cleans up nothing."""
    seen, real = [], loading.require_same

    def looking(*given):
        seen.append(list(tmp_path.rglob("*.onnx")))
        real(*given)

    monkeypatch.setattr(loading, "require_same", looking)
    load_backend("onnx", tiny(), tmp_path)
    assert seen == [[], []]


def test_an_export_that_the_runtime_cannot_open_is_refused_and_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "export", lambda *_: b"no graph")
    with pytest.raises(ModelError, match=r"ONNX Runtime.*backend torch"):
        load_backend("onnx", tiny(), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [name for name in BACKENDS if "onnxruntime" in packages_of(name)])
def test_torch_replaces_a_backend_that_is_not_installed(name, cache, monkeypatch):
    monkeypatch.setattr(loading, "find_spec", lambda package: None if package == "onnxruntime" else package)
    told = []
    backend = load_backend(name, tiny(), cache, batches("wide", 2), warn=told.append)
    assert backend.name == "torch"
    (message,) = told
    assert f"backend {name} is replaced by torch: onnxruntime is not installed" in message
    assert f"pip install 'dogcam[{'openvino' if name == 'openvino' else 'onnx'}]'" in message


def test_a_network_of_another_build_is_explained_by_the_reference(cache):
    torch.manual_seed(0)
    network = tiny_networks.max_pooled().float()
    given, told = classifier(network, SIZES["wide"]), []
    backend = load_backend("onnx", given, cache, warn=told.append)
    assert (backend.name, backend.kind) == ("torch", "grad_cam")
    assert len(told) == 1 and "the backend onnx is replaced" in told[0]
    (part,) = batches("wide", 2)
    expected = explain(network, part, range(CLASSES), [GradCam("features")])
    assert torch.equal(backend.maps(part)[1], expected.maps[0])


def test_a_network_without_one_head_is_explained_by_the_reference(cache):
    given, told = replace(tiny(), head=None), []
    backend = load_backend("torch", given, cache, warn=told.append)
    assert backend.kind == "grad_cam"
    assert len(told) == 1 and repr(given.target_layer) in told[0]


@pytest.mark.slow
def test_the_classifier_is_left_as_it_was_found(cache):
    given = tiny()
    before = snapshot(given.network)
    load_backend("onnx", given, cache)
    assert snapshot(given.network) == before


def test_batch_norms_are_folded_where_nothing_else_hears_the_convolution():
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 7, 3)
            self.heard, self.alone = nn.BatchNorm2d(4), nn.BatchNorm2d(7)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            return self.alone(self.second(x + self.heard(x))).relu()

    torch.manual_seed(0)
    network = tiny_networks.ready(
        tiny_networks.pooled_network(Branching(), nn.Linear(7, CLASSES)), torch.float32
    )
    built = maps_network(classifier(network, SIZES["wide"]))
    assert sum(isinstance(module, nn.BatchNorm2d) for module in built.modules()) == 1


@pytest.mark.slow
def test_images_of_another_size_are_refused(cache):
    backend = load_backend("onnx", tiny(), cache)
    with pytest.raises(ModelError, match=r"\(N, 3, 20, 28\)"):
        backend.maps(torch.zeros(1, 3, 28, 20))


def test_an_unknown_backend_and_one_without_its_images_are_refused(cache):
    with pytest.raises(ConfigError, match=re.escape(f"'fast'; expected {', '.join(BACKENDS)}")):
        load_backend("fast", tiny(), cache)
    calibrated = [name for name in BACKENDS if needs_calibration(name)]
    assert "int8" in calibrated and "onnx" not in calibrated
    for name in calibrated:
        with pytest.raises(ConfigError, match=rf"{name}.*images"):
            load_backend(name, tiny(), cache)


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        (torch.tensor([1.0, 0.9998]), r"0\.0002"),
        (torch.tensor([1.0, float("nan")]), r"\bnan\b"),
        (torch.ones(3), r"\(3,\)"),
    ],
)
def test_what_is_not_the_same_is_refused(found, complaint):
    require_same(torch.tensor([1.0, 0.99995]), torch.ones(2), "they")
    with pytest.raises(ModelError, match=complaint):
        require_same(found, torch.ones(2), "they")
