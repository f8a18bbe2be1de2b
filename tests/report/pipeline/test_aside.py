"""Work that runs in a thread while a stage does other work."""

import threading

import pytest

from report.pipeline.aside import aside
from report.pipeline.context import Silent
from tests.support.stages import context_of


@pytest.fixture
def context(small_data, tmp_path):
    return context_of(small_data, None, tmp_path)


def test_both_works_run_at_once_and_the_result_is_that_of_the_function(context):
    met = threading.Barrier(2, timeout=30)

    def work(context, number):
        met.wait()
        assert isinstance(context.progress, Silent)
        return context.folder, number

    with aside(work, context, 3) as working:
        met.wait()
        assert working.result() == (context.folder, 3)


def test_an_error_of_the_work_is_raised_where_its_result_is_taken(context):
    def fail(_context):
        raise ValueError("no picture")

    with pytest.raises(ValueError, match="no picture"), aside(fail, context) as working:
        working.result()
