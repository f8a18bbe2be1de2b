"""`make docs`: the site builds without a warning, is complete, and loads nothing from elsewhere."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return folder


def page(site: Path, name: str) -> str:
    return (site / name).read_text(encoding="utf-8")


def test_the_api_reference_has_every_public_function(site):
    import dogcam

    text = page(site, "reference/dogcam.html")
    for name in dogcam.__all__:
        assert f'id="dogcam.{name}"' in text


def test_the_command_reference_has_every_option(site):
    from dogcam.cli.main import COMMANDS, main
    from report.cli import main as report

    text = page(site, "reference/commands.html")
    for group, names in ((main, COMMANDS), (report, report.commands)):
        for name in names:
            command = group.get_command(None, name)
            options = [each for each in command.params if isinstance(each, click.Option)]
            assert options or name == "schema"
            assert [each.opts for each in options if f"{each.opts[-1]}" not in text] == []


def test_pages_load_nothing_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r'<(?:script|img|iframe)[^>]*\ssrc="?(?:https?:)?//', text), path
        assert not re.search(r'<link[^>]*rel="?stylesheet"?[^>]*href="?(?:https?:)?//', text), path


def test_the_images_of_the_readme_are_small():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    names = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert names
    for name in names:
        assert 0 < (REPOSITORY / name).stat().st_size < 200_000
    assert len(text.splitlines()) <= 150
