"""A user's folder of templates: what it replaces, what it adds, what is refused, and its documentation."""

import functools
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from dogcam.errors import ConfigError
from report.record.io import read_results
from report.render.loader import open_templates, templates_folder
from report.render.render import render
from report.render.watch import watch
from tests.support.pages import written
from tests.support.runs import assert_one_line, invoke, options

REPOSITORY = Path(__file__).resolve().parents[3]
DOCUMENT = REPOSITORY / "docs" / "templates.md"


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def headings(markdown: str) -> list[str]:
    return re.findall(r"^## (.*)$", markdown, re.MULTILINE)


def test_a_section_is_added_at_its_place(finished, tmp_path):
    own = write(tmp_path / "own", {"sections/25-mine.md.j2": "## Mine\n\n{{ record.title }}\n"})
    texts = render(read_results(finished), finished, open_templates(own))
    found = headings(texts["report.md"])
    plain = headings(written(finished)["report.md"])
    assert found.index("Mine") == plain.index("Precision and recall") + 1
    assert [each for each in found if each != "Mine"] == plain
    assert '<section id="mine"' in texts["report.html"]
    assert '<a href="#mine">Mine</a>' in texts["report.html"]


def test_files_of_the_same_name_replace_the_program_s(finished, tmp_path):
    own = write(
        tmp_path / "own",
        {
            "sections/10-answer.md.j2": "## Answer\n\nIn other words: {{ record.title }}\n",
            "html/stakes.j2": "",
            "style.css": "body { color: teal }",
        },
    )
    texts = render(read_results(finished), finished, open_templates(own))
    assert "In other words" in texts["report.md"]
    assert 'id="failures-by-type"' not in texts["report.html"]
    assert "body { color: teal }" in texts["report.html"]


def test_an_empty_section_is_left_out(finished, tmp_path):
    own = write(tmp_path / "own", {"sections/30-failures.md.j2": ""})
    text = render(read_results(finished), finished, open_templates(own))["report.md"]
    assert "Failure gallery" not in headings(text)


LEFT_OUT = ["20-precision-recall", "30-failures", "50-answers", "60-methods", "65-map-quality"]


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_link_to_a_section_that_is_left_out_is_its_words(finished, tmp_path, name):
    own = write(tmp_path / "own", {f"sections/{name}.md.j2": ""})
    texts = render(read_results(finished), finished, open_templates(own))
    page, markdown = texts["report.html"], texts["report.md"]
    links = {anchor for anchor in re.findall(r'<a [^>]*href="#([^"]*)"', page) if anchor}
    assert len(links) > 5
    assert links <= set(re.findall(r'\sid="([^"]+)"', page))
    anchors = {re.sub(r"[^\w\s-]", "", each.lower()).replace(" ", "-") for each in headings(markdown)}
    links = set(re.findall(r"\]\(#([^)]*)\)", markdown))
    assert len(links) > 5 and links <= anchors
    if name == "30-failures":
        assert "Failure gallery" in page and "Failure gallery" not in markdown


def test_a_link_that_arrives_stays_and_code_is_no_link(finished, tmp_path):
    prose = (
        "[A *part*](#mine), [the start](#), [chosen](#mine&type=missed), [gone \\[x\\]](#gone), "
        "`[code](#gone)`\n\n```\n[more code](#gone)\n```\n"
    )
    own = write(tmp_path / "own", {"sections/25-mine.md.j2": f"## Mine\n\n{prose}"})
    texts = render(read_results(finished), finished, open_templates(own))
    assert prose.replace("[gone \\[x\\]](#gone)", "gone \\[x\\]") in texts["report.md"]
    assert (
        '<a href="#mine">A <em>part</em></a>, <a href="#">the start</a>, '
        '<a href="#mine&amp;type=missed">chosen</a>, gone [x], <code>[code](#gone)</code>'
    ) in texts["report.html"]


REFUSED = {
    "a misspelt partial": ({"html/tile.j2": ""}, "html/tiles.j2"),
    "a partial in the wrong folder": ({"tiles.j2": ""}, "html/tiles.j2"),
    "a section with another ending": ({"sections/25-mine.md": ""}, "is no section (sections/NAME.md.j2)"),
    "a section outside of its folder": ({"25-mine.md.j2": ""}, "replaces no template and is no section"),
    "a misspelt section": ({"sections/30-failure.md.j2": ""}, "sections/30-failures.md.j2"),
    "a section at another place": ({"sections/31-failures.md.j2": ""}, "sections/30-failures.md"),
    "an empty folder": ({".hidden": "", "sections/25-mine.md.j2~": ""}, "holds no template"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_file_without_a_place_is_named(finished, tmp_path, fault):
    files, said = REFUSED[fault]
    own = write(tmp_path / "own", files)
    with pytest.raises(ConfigError, match=re.escape(said)):
        open_templates(own)
    for command in ("render", "check"):
        assert_one_line(invoke([command, str(finished), "--templates", str(own)]), 1, str(own), said)


def test_a_template_that_is_no_text_is_named(finished, tmp_path):
    own = write(tmp_path / "own", {"style.css": ""})
    (own / "style.css").write_bytes(b"\xff\xfe")
    assert_one_line(invoke(["render", str(finished), "--templates", str(own)]), 1, "style.css", "as text")


def test_what_a_template_of_one_s_own_lacks_is_named(finished, tmp_path):
    own = write(tmp_path / "own", {"sections/25-mine.md.j2": "## Mine\n\n{{ record.titel }}\n"})
    result = invoke(["render", str(finished), "--templates", str(own)])
    assert_one_line(result, 1, str(own / "sections" / "25-mine.md.j2"), "no 'titel'")


def test_a_run_takes_the_folder_too_and_refuses_it_before_it_computes(small_data, small_checkpoint, tmp_path):
    own = write(tmp_path / "own", {"html/tile.j2": ""})
    arguments = options(small_data, small_checkpoint, tmp_path / "run", "--templates", str(own))
    assert_one_line(invoke(arguments), 1, "html/tiles.j2")
    assert not (tmp_path / "run").exists()


def test_a_report_is_checked_against_the_templates_it_was_rendered_with(copied, tmp_path):
    own = write(tmp_path / "own", {"sections/25-mine.md.j2": "## Mine\n\n{{ record.title }}\n"})
    assert invoke(["render", str(copied), "--templates", str(own)]).exit_code == 0
    assert invoke(["check", str(copied), "--templates", str(own)]).exit_code == 0
    assert_one_line(invoke(["check", str(copied)]), 1, "is not what the record")


def example() -> dict[str, str]:
    """The files of the worked example, as the document prints them."""
    text = DOCUMENT.read_text(encoding="utf-8")
    return dict(re.findall(r"`my-templates/([^`]+)`:\n\n```\w+\n(.*?)```", text, re.DOTALL))


def test_the_worked_example_works(copied, tmp_path):
    files = example()
    assert set(files) == {"sections/25-for-reviewers.md.j2", "allowed.toml"}
    own = write(tmp_path / "own", files)
    for command in ("render", "check"):
        result = invoke([command, str(copied), "--templates", str(own)])
        assert result.exit_code == 0, result.output
    text = (copied / "report.md").read_text(encoding="utf-8")
    found = headings(text)
    assert found.index("For reviewers") == found.index("Failure gallery") - 1
    assert "{{" not in text
    (own / "allowed.toml").unlink()
    assert_one_line(invoke(["check", str(copied), "--templates", str(own)]), 1, "ResNet-50")


def test_the_document_names_every_file_of_the_program():
    text = DOCUMENT.read_text(encoding="utf-8")
    for path in templates_folder().rglob("*"):
        if path.is_file():
            name = path.relative_to(templates_folder()).as_posix()
            kind = re.sub(r"^(html|markdown)/.*", r"\1/*.j2", name)
            kind = re.sub(r"^sections/.*", "sections/NAME.md.j2", kind)
            assert f"`{kind}`" in text, name


def test_the_document_names_every_formatter():
    from report.render.formats import Formatter

    text = DOCUMENT.read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in Formatter("markdown").filters())


def wait_for(condition, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing came of it"
        time.sleep(0.05)


def test_a_saved_template_is_rendered_and_a_fault_does_not_end_the_watch(copied, tmp_path):
    own = write(tmp_path / "own", {"sections/25-mine.md.j2": "## Mine\n\nAs it was first.\n"})
    section = own / "sections" / "25-mine.md.j2"
    log = tmp_path / "log"
    code = "import sys; from report.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "render", str(copied), "--templates", str(own), "--watch"]

    def shown(words: str) -> bool:
        return words in (copied / "report.md").read_text(encoding="utf-8")

    def rendered(times: int, words: str) -> bool:
        # The line comes after the files: one that is waited for cannot be cut off by Ctrl-C.
        return log.read_text().count(" rendered ") == times and shown(words)

    with log.open("w") as file:
        # Where the tests run in the background, their children would begin with Ctrl-C ignored.
        listen = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        running = subprocess.Popen(command, cwd=REPOSITORY, stdout=file, stderr=file, preexec_fn=listen)
    try:
        wait_for(lambda: rendered(1, "As it was first."))
        section.write_text("## Mine\n\n{{ record.titel }}\n", encoding="utf-8")
        wait_for(lambda: "the record has no 'titel'" in log.read_text())
        assert shown("As it was first."), "the report stays until the fault is mended"
        section.write_text("## Mine\n\nAs it is now.\n", encoding="utf-8")
        wait_for(lambda: rendered(2, "As it is now."))
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 0
    finally:
        running.kill()
        running.wait()
    lines = log.read_text().splitlines()
    assert [line.split()[1] for line in lines[:-1]] == ["rendered", f"{section}:", "rendered"]
    assert lines[-1] == "no longer watching"


@pytest.mark.slow
def test_a_run_goes_on_watching(small_data, small_checkpoint, copied, monkeypatch):
    def interrupted(seconds):
        raise KeyboardInterrupt

    # Not the function itself, which others use as well.
    monkeypatch.setattr(
        "report.render.watch.time", SimpleNamespace(sleep=interrupted, strftime=time.strftime)
    )
    result = invoke(options(small_data, small_checkpoint, copied, "--watch"))
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[-2].endswith(f"rendered {copied / 'report.html'}")
    assert result.stderr.splitlines()[-1] == "no longer watching"


def test_nothing_is_rendered_while_nothing_changes(tmp_path, monkeypatch):
    rounds = iter(range(3))

    def pass_the_time(seconds):
        if next(rounds, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr("report.render.watch.time.sleep", pass_the_time)
    said: list[str] = []
    watch(lambda: tmp_path, [write(tmp_path, {"a": "b"})], said.append)
    assert len(said) == 2
