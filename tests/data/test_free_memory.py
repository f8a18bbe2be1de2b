"""Free memory, in a machine and in a container, and the processes that fit into it."""

import pytest

from dogcam.data import free_memory as memory
from dogcam.data import workers
from dogcam.data.workers import n_fitting


@pytest.mark.parametrize(
    ("peak", "free", "expected"), [(100, 1000, 4), (100, 250, 2), (100, 50, 0), (None, 50, 4), (100, None, 4)]
)
def test_no_more_processes_than_memory_has_room_for(monkeypatch, tmp_path, peak, free, expected):
    monkeypatch.setattr(workers, "n_cores", lambda: 4)
    numbers = {"VmHWM:": peak, "MemAvailable:": free}
    monkeypatch.setattr(memory, "_number_in", lambda file, name: numbers.get(name))
    monkeypatch.setattr(memory, "_GROUP", tmp_path)
    assert n_fitting() == expected


def test_a_container_has_less_memory_than_its_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_GROUP", tmp_path)
    machine = memory.free_memory()
    for name, text in (("memory.max", "max"), ("memory.current", "1"), ("memory.stat", "inactive_file 1")):
        (tmp_path / name).write_text(text)
    assert memory.free_memory() == pytest.approx(machine, rel=0.2)
    (tmp_path / "memory.max").write_text(str(3 << 20))
    (tmp_path / "memory.current").write_text(str(2 << 20))
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {1 << 20}\n")
    assert memory.free_memory() == 2 << 10
