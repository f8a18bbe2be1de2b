"""`report.run_report`: its example runs, and it gives the record of the command line."""

import doctest
import subprocess
import sys
from functools import partial

import pytest

import report
from report.pipeline import locate
from report.record.io import read_results
from tests.support.runs import BATCH, RESAMPLES


def test_it_gives_the_record_of_the_command_line(
    finished, small_data, small_checkpoint, tmp_path, quick_runs
):
    record = report.run_report(
        small_data, tmp_path, split="test", tuning_split="val", model="sample_net",
        checkpoint=small_checkpoint, batch_size=BATCH, device="cpu",
        n_resamples=RESAMPLES,
    )  # fmt: skip
    expected = read_results(finished)
    assert record.detection == expected.detection and record.config == expected.config
    assert read_results(tmp_path) == record
    assert (tmp_path / "report.html").exists() and (tmp_path / "report.md").exists()


@pytest.mark.slow
def test_the_example_of_its_docstring_runs(monkeypatch, tmp_path, quick_runs):
    """The example takes 12 images of each split; no more are rendered, and none into the user's cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(locate, "write_sample", partial(locate.write_sample, n_val=12, n_test=12))
    (example,) = doctest.DocTestFinder(recurse=False).find(report.run_report, "run_report", globs={})
    assert doctest.DocTestRunner().run(example).failed == 0 < len(example.examples)


def test_importing_report_imports_no_torch():
    code = "import sys, report; report.run_report; print({'torch', 'numpy'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stderr
