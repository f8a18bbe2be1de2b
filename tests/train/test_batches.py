"""Batches: made ahead in a thread, the same ones in the same order as without it."""

import threading

import pytest
import torch

from dogcam.errors import DataError
from dogcam.train.augment import Augmentation
from dogcam.train.batches import Batches, prefetched
from dogcam.train.data import TrainingData
from tests.support.training import FAST, changed


def make_batches(data: TrainingData, **changes) -> Batches:
    return Batches(data, changed(FAST, **changes))


@pytest.mark.parametrize("mix", ["none", "cutmix"])
def test_an_epoch_is_the_same_each_time_and_ahead_or_not(data, mix):
    batches = make_batches(data, augmentation=Augmentation(min_area=0.6, colour_jitter=0.1, mix=mix))
    expected = list(batches.of_epoch(1))
    with prefetched(batches.of_epoch(1)) as ahead:
        made = list(ahead)
    assert [len(images) for images, _ in made] == [6, 6, 4]
    assert len(batches) == 3
    for ours, theirs in zip(made, expected, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_another_epoch_has_another_order(data):
    batches = make_batches(data, augmentation=Augmentation(min_area=1.0, flip=False))
    first, second = (next(batches.of_epoch(epoch))[0] for epoch in (0, 1))
    assert not torch.equal(first, second)


def test_an_epoch_shows_every_image_once(data):
    batches = make_batches(data)
    labels = torch.cat([labels for _, labels in batches.of_epoch(0)])
    assert labels.sum(0).tolist() == batches.labels.sum(0).tolist()
    assert len(labels) == len(data.train)


def test_the_next_item_is_made_while_this_one_is_used():
    begun = threading.Event()

    def items():
        yield 1
        begun.set()
        yield 2

    with prefetched(items()) as ahead:
        assert next(ahead) == 1
        # Nobody has asked for the second one.
        assert begun.wait(10)
        assert list(ahead) == [2]


def test_what_making_raises_is_raised_at_its_turn():
    def items():
        yield 1
        raise DataError("the second picture is damaged")

    with prefetched(items()) as ahead:
        assert next(ahead) == 1
        with pytest.raises(DataError, match="the second picture is damaged"):
            next(ahead)


def test_leaving_early_leaves_no_thread_behind():
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), prefetched(iter(range(1000))) as ahead:
        next(ahead)
        raise KeyboardInterrupt
    assert threading.active_count() == before
