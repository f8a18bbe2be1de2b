"""What an earlier run left in a folder, what a killed run must not lose, what no file may hold."""

import json
import re
import socket
from pathlib import Path

import pytest

from dogcam.errors import RecordError
from report import running
from report.cli import _without_path
from report.pipeline.folder import (
    EARLIER_NAME,
    end_run,
    keep_earlier_claims,
    remove_partial_files,
    remove_stale_pictures,
)
from report.record.io import read_results
from tests.support.runs import assert_one_line, change_record, invoke, options, record_of


def statuses_of(claims):
    return [claim.status for claim in claims]


def let_claims_be(run, status):
    change_record(run, lambda record: [claim.update(status=status) for claim in record["claims"]])


def test_a_run_that_did_not_end_is_not_compared_with(copied):
    n = len(record_of(copied)["claims"])
    let_claims_be(copied, "supported")
    assert statuses_of(keep_earlier_claims(copied)) == ["supported"] * n
    # The run writes its record, and is killed.
    let_claims_be(copied, "contradicted")
    assert statuses_of(keep_earlier_claims(copied)) == ["supported"] * n
    end_run(copied)
    assert statuses_of(keep_earlier_claims(copied)) == ["contradicted"] * n


def test_a_run_killed_before_its_end_keeps_the_changed_claims(
    copied, small_data, small_checkpoint, monkeypatch
):
    claim = record_of(copied)["claims"][0]
    other = "contradicted" if claim["status"] == "supported" else "supported"
    change_record(copied, lambda record: record["claims"][0].update(status=other))

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(running, "write_report", killed)
        assert invoke(options(small_data, small_checkpoint, copied)).exit_code != 0
    result = invoke(options(small_data, small_checkpoint, copied))
    assert result.exit_code == 0, result.output
    assert record_of(copied)["claim_changes"] == [
        {"id": claim["id"], "before": other, "now": claim["status"]}
    ]
    assert not (copied / EARLIER_NAME).exists()


@pytest.mark.parametrize("content", ["", "{", "7", "[7]", '[{"id": "x"}]'])
def test_damaged_claims_are_none(copied, content):
    (copied / EARLIER_NAME).write_text(content)
    assert keep_earlier_claims(copied) is None
    assert json.loads((copied / EARLIER_NAME).read_text()) is None


def test_a_first_run_has_no_earlier_claims(tmp_path):
    assert keep_earlier_claims(tmp_path) is None
    assert keep_earlier_claims(tmp_path) is None


def test_pictures_of_a_larger_run_are_removed_and_other_files_stay(copied):
    record = read_results(copied)
    before = {path for path in copied.rglob("*") if path.is_file()}
    stale = [copied / name for name in ("gallery/missed-99.webp", "figures/old.svg")]
    mine = [copied / name for name in ("gallery/notes.txt", "figures/a b.svg", "mine.webp")]
    for path in (*stale, *mine):
        path.write_text("x")
    remove_stale_pictures(copied, record)
    assert {path for path in copied.rglob("*") if path.is_file()} == before | set(mine)


def test_stale_pictures_elsewhere_are_not_removed(copied, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (copied / "gallery").rename(elsewhere)
    (elsewhere / "precious.webp").write_text("x")
    (copied / "gallery").symlink_to(elsewhere)
    for remove in (
        lambda: remove_stale_pictures(copied, read_results(copied)),
        lambda: remove_partial_files(copied),
    ):
        with pytest.raises(RecordError, match=re.escape(str(elsewhere))):
            remove()
    assert (elsewhere / "precious.webp").exists()


def test_temporary_files_behind_a_link_are_not_removed(copied, tmp_path):
    elsewhere, name = tmp_path / "elsewhere", ".report.html.7.part"
    (elsewhere / "below").mkdir(parents=True)
    foreign = [elsewhere / name, elsewhere / "below" / name]
    mine = [copied / "stages" / name, copied / "stages" / "predict" / name]
    for part in (*foreign, *mine):
        part.touch()
    (copied / "stages" / "link").symlink_to(elsewhere)
    (copied / "stages" / "predict" / "link").symlink_to(elsewhere)
    remove_partial_files(copied)
    assert [part.exists() for part in (*foreign, *mine)] == [True, True, False, False]


def test_a_faulty_date_is_refused_before_the_work(small_data, small_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "abc")
    result = invoke(options(small_data, small_checkpoint, tmp_path / "run"))
    assert_one_line(result, 1, "SOURCE_DATE_EPOCH", "'abc'")
    assert not (tmp_path / "run" / "stages").exists()


def test_no_file_of_a_run_holds_a_path_or_a_host(finished, small_data):
    private = [str(small_data.parent), str(Path(__file__).parents[3]), str(Path.home()), socket.gethostname()]
    secrets = [each.encode() for each in private if len(each) > 3]
    files = [path for path in finished.rglob("*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        content = path.read_bytes()
        assert not [each for each in secrets if each in content], path


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("run", "run"),
        ("--data=/home/me/photos/", "--data=photos"),
        ("../me/a.pt", "a.pt"),
        ("/home/me/voc2007", "./voc2007"),
        ("--data=../sample/", "--data=./sample"),
        ("/", "/"),
        ("--limit=5", "--limit=5"),
        ("a=b/c", "c"),
    ],
)
def test_the_command_holds_no_path(argument, shown):
    assert _without_path(argument) == shown
