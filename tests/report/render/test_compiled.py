"""Compiled templates are kept, and never outlive what they were compiled from."""

import sys

import jinja2
import pytest

from report.render.compiled import CompiledTemplates


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    own, kept = tmp_path / "own", tmp_path / "kept"
    own.mkdir()
    kept.mkdir()
    (own / "a.j2").write_text("one {{ n }}", encoding="utf-8")
    return own, kept


def rendered(own, kept, folder=None) -> tuple[str, int]:
    """The text of `a.j2`, and how many templates had to be compiled for it."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder or own), bytecode_cache=CompiledTemplates(kept, own)
    )
    compiled = []
    really = environment.compile
    environment.compile = lambda *given, **named: compiled.append(given) or really(*given, **named)
    return environment.get_template("a.j2").render(n=7), len(compiled)


def test_a_template_is_compiled_once_for_all_renderings(folders):
    own, kept = folders
    assert rendered(own, kept) == ("one 7", 1)
    assert len(list(kept.iterdir())) == 1
    assert rendered(own, kept) == ("one 7", 0)


def test_a_template_that_was_changed_is_compiled_again(folders):
    own, kept = folders
    rendered(own, kept)
    (own / "a.j2").write_text("two {{ n }}", encoding="utf-8")
    assert rendered(own, kept) == ("two 7", 1)
    assert rendered(own, kept) == ("two 7", 0)
    assert len(list(kept.iterdir())) == 1


@pytest.mark.parametrize("damage", [b"", b"j2", bytes(60), None])
def test_a_damaged_file_is_ignored(folders, damage):
    own, kept = folders
    rendered(own, kept)
    (file,) = kept.iterdir()
    file.write_bytes(file.read_bytes()[:-40] if damage is None else damage)
    assert rendered(own, kept) == ("one 7", 1)
    assert rendered(own, kept) == ("one 7", 0)


def test_a_users_templates_leave_no_file(folders, tmp_path):
    own, kept = folders
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.j2").write_text("mine {{ n }}", encoding="utf-8")
    assert rendered(own, kept, tmp_path / "mine") == ("mine 7", 1)
    assert list(kept.iterdir()) == []


def test_nothing_is_written_where_python_writes_nothing(folders, monkeypatch, tmp_path):
    own, kept = folders
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert rendered(own, kept) == ("one 7", 1)
    assert list(kept.iterdir()) == []
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = tmp_path / "file"
    file.touch()
    assert rendered(own, file / "no folder") == ("one 7", 1), "a folder that cannot be written"
