"""The image cache: decoded once as far as memory allows; labels in the order of the classes."""

import pytest
import torch

from dogcam.data.image_cache import ImageCache, label_matrix
from dogcam.data.images import read_pixels
from dogcam.data.reading import read_split
from tests.support.voc_folders import write_patches


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    kinds = {"train": [["red"], ["blue"], [], ["red", "blue"]]}
    return read_split(write_patches(tmp_path_factory.mktemp("data") / "voc", kinds), "train").images


def test_labels_are_in_the_order_of_the_classes(images):
    assert label_matrix(images, ("blue", "red")).tolist() == [[0, 1], [1, 0], [0, 0], [1, 1]]
    assert label_matrix((), ("blue", "red")).shape == (0, 2)


@pytest.mark.parametrize("room", [0, 2, 100])
def test_images_are_decoded_once_as_far_as_there_is_room(images, monkeypatch, room):
    cache = ImageCache(images, (8, 10), memory_limit=room * 3 * 8 * 10)
    first = cache.select([3, 0, 3, 1])
    assert first.shape == (4, 3, 8, 10) and first.dtype == torch.uint8
    assert torch.equal(first[0], first[2])
    decoded = []

    def counted(image, at_least):
        decoded.append(image.id)
        return read_pixels(image, at_least)

    monkeypatch.setattr("dogcam.data.image_cache.read_pixels", counted)
    assert torch.equal(cache.select([3, 0, 3, 1]), first)
    assert len(decoded) == 3 - min(room, 3)
