"""Augmentation: what is cut, mirrored and coloured, and that nothing but the generator decides."""

import numpy as np
import pytest
import torch
from PIL import Image

from dogcam.errors import ConfigError
from dogcam.train.augment import Augmentation, augment, crop, cutmix, jitter_colour, random_windows

PLAIN = Augmentation(min_area=1.0, flip=False)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def corner_pictures(n: int) -> torch.Tensor:
    """Pictures that are red in the upper left corner alone: no flip of any axis goes unnoticed."""
    pictures = torch.zeros(n, 3, 8, 12, dtype=torch.uint8)
    pictures[:, 0, :4, :3] = 255
    return pictures


def test_pictures_are_mirrored_along_their_width_and_about_half_of_them():
    pictures = corner_pictures(200)
    batch = augment(pictures, (8, 12), Augmentation(min_area=1.0), generator())
    same = [torch.equal(each, pictures[0] / 255) for each in batch]
    mirrored = [torch.equal(each, torch.from_numpy(pictures[0].numpy()[:, :, ::-1] / 255.0)) for each in
                batch.double()]  # fmt: skip
    assert all(one != other for one, other in zip(same, mirrored, strict=True))
    assert 70 < sum(mirrored) < 130


def test_nothing_changes_where_nothing_may():
    pictures = torch.randint(256, (3, 3, 8, 12), dtype=torch.uint8)
    assert torch.equal(augment(pictures, (8, 12), PLAIN, generator()), pictures / 255)


@pytest.mark.parametrize("min_area", [0.3, 0.765, 1.0])
def test_windows_lie_inside_and_keep_the_area_and_shape(min_area):
    height, width = 200, 320
    windows = np.array(random_windows(2000, (height, width), min_area, generator()))
    top, left, h, w = windows.T
    assert (top >= 0).all() and (left >= 0).all()
    assert (top + h <= height).all() and (left + w <= width).all()
    share = h * w / (height * width)
    assert (share >= min_area).all()
    assert share.min() < min_area + 0.02 and share.max() > 0.98
    assert np.abs(h / height - w / width).max() < 1 / height + 1 / width
    if min_area < 1:
        assert share.mean() == pytest.approx((1 + min_area) / 2, abs=0.02)
        room = (height - h) > 20
        for place, free in ((top, height - h), (left, width - w)):
            assert (place[room] / free[room]).mean() == pytest.approx(0.5, abs=0.05)
        assert (top == height - h).any() and (top == 0).any()


def test_a_crop_is_what_pillow_cuts_and_resizes():
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    window = (5, 9, 30, 44)
    cropped = crop(torch.from_numpy(picture).permute(2, 0, 1)[None], [window], (16, 24))
    top, left, height, width = window
    box = (left, top, left + width, top + height)
    expected = np.asarray(Image.fromarray(picture).crop(box).resize((24, 16), Image.Resampling.BILINEAR))
    difference = cropped[0].permute(1, 2, 0).numpy().astype(int) - expected
    assert np.abs(difference).max() <= 1


def test_the_generator_alone_decides():
    pictures = torch.randint(256, (6, 3, 20, 20), dtype=torch.uint8)
    everything = Augmentation(min_area=0.5, colour_jitter=0.4)
    first = augment(pictures, (10, 10), everything, generator(7))
    torch.manual_seed(99)
    assert torch.equal(first, augment(pictures, (10, 10), everything, generator(7)))
    assert not torch.equal(first, augment(pictures, (10, 10), everything, generator(8)))


def test_colour_factors_of_a_hand_computed_pixel():
    red, grey = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.5, 0.5, 0.5])
    pictures = torch.stack([red, grey]).view(1, 2, 3).permute(0, 2, 1)[:, :, None, :].repeat(3, 1, 1, 1)
    factors = torch.tensor([[0.5, 1, 1], [1, 0.5, 1], [1, 1, 0.5]])
    darker, flatter, paler = jitter_colour(pictures, factors)[:, :, 0, :].permute(0, 2, 1)
    mean = (0.299 + 0.5) / 2
    assert torch.allclose(darker, torch.stack([red, grey]) / 2)
    assert torch.allclose(flatter, mean + (torch.stack([red, grey]) - mean) / 2)
    assert torch.allclose(paler, torch.stack([0.299 + (red - 0.299) / 2, grey]))


def test_colours_stay_in_range():
    batch = augment(corner_pictures(50), (8, 12), Augmentation(colour_jitter=0.9), generator())
    assert batch.min() >= 0 and batch.max() <= 1


def test_pictures_are_stored_just_large_enough_for_the_smallest_crop():
    assert Augmentation(min_area=0.765625).stored_size((224, 224)) == (256, 256)
    assert Augmentation(min_area=0.25).stored_size((64, 96)) == (128, 192)
    assert PLAIN.stored_size((128, 160)) == (128, 160)


@pytest.mark.parametrize(
    "wrong", [{"min_area": 0}, {"min_area": 1.1}, {"colour_jitter": -0.1}, {"colour_jitter": 1}]
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Augmentation(**wrong)


def test_cutmix_mixes_labels_by_the_area_that_was_pasted():
    batch = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 20, 30)
    labels = torch.eye(4)
    n_mixed = 0
    for seed in range(20):
        mixed, weights = cutmix(batch, labels, torch.Generator().manual_seed(seed))
        for place in range(4):
            other = (place - 1) % 4
            share = (mixed[place] == other).float().mean().item()
            assert (mixed[place] == place).float().mean().item() == pytest.approx(1 - share)
            assert weights[place, other].item() == pytest.approx(share, abs=1e-6)
            assert weights[place, place].item() == pytest.approx(1 - share, abs=1e-6)
        n_mixed += mixed is not batch
    assert 4 < n_mixed < 16
