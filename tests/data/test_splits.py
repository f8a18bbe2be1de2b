"""Parts of a split: disjoint, complete, always the same, and refused where they are none."""

import re

import pytest
import torch

from dogcam.data.reading import read_split, split_ids
from dogcam.data.splits import split_name, subset_of
from dogcam.errors import DataError
from tests.support.voc_folders import write_patches

IDS = [f"{number:03d}" for number in range(20)]


def test_a_part_is_that_of_the_shuffled_list():
    order = torch.randperm(20, generator=torch.Generator().manual_seed(2007)).tolist()
    assert subset_of(IDS, "train[5:9]") == [IDS[order[place]] for place in (5, 6, 7, 8)]
    assert subset_of(IDS, "train[5:9]") != IDS[5:9]


def test_two_parts_that_meet_make_the_whole():
    first, second = subset_of(IDS, "train[:13]"), subset_of(IDS, "train[13:]")
    assert (len(first), len(second)) == (13, 7)
    assert sorted(first + second) == IDS
    assert first + second == subset_of(IDS, "train[:]")


def test_a_name_without_brackets_is_the_list_as_it_stands():
    assert subset_of(IDS, "train") == IDS
    assert (split_name("train"), split_name("train[2:]")) == ("train", "train")


@pytest.mark.parametrize("name", ["train[", "train[5]", "train[1:2:3]", "train[-3:]", "train[:3]x", "[:3]"])
def test_what_is_not_written_as_a_part_is_refused(name):
    with pytest.raises(DataError, match=re.escape(repr(name))):
        subset_of(IDS, name)


@pytest.mark.parametrize("name", ["train[20:]", "train[4:4]", "train[5:3]", "train[:21]"])
def test_an_empty_part_and_one_that_ends_outside_are_refused(name):
    with pytest.raises(DataError, match=rf"{re.escape(repr(name))}.* of 20;"):
        subset_of(IDS, name)


def test_a_part_is_read_like_a_split(tmp_path):
    root = write_patches(tmp_path, {"train": [["red"], ["blue"], ["green"], []]})
    part = read_split(root, "train[1:3]")
    assert part.name == "train[1:3]"
    assert [image.id for image in part.images] == split_ids(root, "train[1:3]")
    assert len(read_split(root, "train[1:3]", limit=1)) == 1
    with pytest.raises(DataError, match=r"tune\.txt.* train"):
        read_split(root, "tune[:2]")
