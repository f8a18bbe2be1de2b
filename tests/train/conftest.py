"""Fixtures of the tests of training."""

import pytest

from dogcam.train.data import TrainingData
from tests.support.training import write_data


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> TrainingData:
    return write_data(tmp_path_factory.mktemp("training") / "data")
