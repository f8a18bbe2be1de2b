"""A record from elsewhere: no plain file, texts of megabytes, numbers that take all memory."""

import os

import pytest
from pydantic import ValidationError

from dogcam.errors import RecordError
from report.record import ClaimPart
from report.record.base import MAX_TEXT
from report.record.data import ClassCount
from report.record.io import read_results
from report.render.check import _read


@pytest.mark.parametrize("read", [read_results, _read])
def test_what_is_no_plain_file_is_no_record(tmp_path, read):
    path = tmp_path / "results.json" if read is not read_results else tmp_path / "run" / "results.json"
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)
    with pytest.raises(RecordError, match="FIFO"):
        read(path if read is not read_results else path.parent)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(RecordError, match="device"):
        read(path if read is not read_results else path.parent)


@pytest.mark.parametrize(
    "text", ['{"a": NaN}', '{"a": 1, "a": 2}', "[" * 100 + "]" * 100, '{"a": "\\ud800"}']
)
def test_json_that_is_none_is_no_record(tmp_path, text):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(RecordError, match="not valid JSON"):
        read_results(tmp_path)


@pytest.mark.parametrize("version", ["true", "1", "2.0", '"2"', "null", "[2]"])
def test_another_version_is_no_record(tmp_path, version):
    (tmp_path / "results.json").write_text(f'{{"schema_version": {version}}}')
    with pytest.raises(RecordError, match="version"):
        read_results(tmp_path)


def test_a_text_of_megabytes_is_refused():
    assert ClassCount(name="x" * MAX_TEXT, n_images=1, n_objects=1).n_images == 1
    with pytest.raises(ValidationError, match=str(MAX_TEXT)):
        ClassCount(name="x" * (MAX_TEXT + 1), n_images=1, n_objects=1)


@pytest.mark.parametrize("digits", [10**9, 16, -1])
def test_digits_that_would_fill_the_memory_are_refused(digits):
    with pytest.raises(ValidationError, match="digits"):
        ClaimPart(name="a", path="b", form="decimal", digits=digits)
