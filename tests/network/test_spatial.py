"""Where in the picture a layer's numbers stand, told from shapes alone."""

import pytest
import torch

from dogcam.errors import ModelError
from dogcam.network.spatial import Layout, layout_of, require_layout


@pytest.mark.parametrize(
    ("shape", "image", "expected"),
    [
        ((2, 512, 7, 7), (224, 224), Layout("channels first", 7, 7)),
        ((2, 7, 7, 768), (224, 224), Layout("channels last", 7, 7)),
        ((2, 7, 4, 768), (224, 128), Layout("channels last", 7, 4)),
        ((2, 4, 5, 7), (20, 28), Layout("channels first", 5, 7)),
        # Unpadded layers and pooling to a fixed size change the aspect; the channels are still the first.
        ((2, 6, 14, 22), (20, 28), Layout("channels first", 14, 22)),
        ((2, 512, 7, 7), (64, 128), Layout("channels first", 7, 7)),
        ((2, 2048, 1, 1), (224, 224), Layout("channels first", 1, 1)),
        ((0, 7, 5, 7), (20, 28), Layout("channels first", 5, 7)),
        # About as many channels as places along a side: a stride of 4 makes 64 x 64, none makes 64 x 96.
        ((2, 64, 64, 96), (256, 256), Layout("channels last", 64, 64)),
        ((2, 72, 72, 96), (288, 288), Layout("channels last", 72, 72)),
        ((2, 56, 84, 96), (224, 336), Layout("channels last", 56, 84)),
        ((2, 96, 64, 64), (256, 256), Layout("channels first", 64, 64)),
        ((2, 48, 64, 64), (256, 256), Layout("channels first", 64, 64)),
        ((2, 80, 73, 73), (299, 299), Layout("channels first", 73, 73)),
        ((2, 16, 16, 24), (64, 96), Layout("channels first", 16, 24)),
        # Both are made by a stride: the nearer aspect, and of equals the usual order.
        ((2, 8, 8, 9), (70, 72), Layout("channels last", 8, 8)),
        ((2, 64, 64, 64), (256, 256), Layout("channels first", 64, 64)),
        # Neither is: a patch of 5 pixels at a stride of 4 leaves 23, one less than 24.
        ((2, 23, 23, 25), (99, 99), Layout("channels last", 23, 23)),
        ((2, 25, 23, 23), (99, 99), Layout("channels first", 23, 23)),
        ((2, 197, 768), (224, 224), Layout("tokens", 14, 14, 1)),
        ((2, 196, 768), (224, 224), Layout("tokens", 14, 14)),
        ((2, 198, 768), (224, 224), Layout("tokens", 14, 14, 2)),
        ((2, 201, 384), (224, 224), Layout("tokens", 14, 14, 5)),
        ((2, 1374, 384), (518, 518), Layout("tokens", 37, 37, 5)),
        ((2, 141, 384), (224, 160), Layout("tokens", 14, 10, 1)),
        # 4 x 7 places and one token more would do as well, but no patch that divides 64 and 96 gives them.
        ((2, 29, 8), (64, 96), Layout("tokens", 4, 6, 5)),
        ((2, 25, 8), (64, 96), Layout("tokens", 4, 6, 1)),
        ((2, 50, 8), (225, 225), Layout("tokens", 7, 7, 1)),
        ((2, 66, 8), (225, 225), Layout("tokens", 8, 8, 2)),
        ((2, 30, 8), (224, 224), Layout("tokens", 5, 5, 5)),
        ((2, 300, 8), (224, 224), None),
        ((2, 512), (224, 224), None),
    ],
)
def test_the_layout_follows_from_the_shape(shape, image, expected):
    assert layout_of(shape, image) == expected


def test_tokens_become_rows_of_places_without_the_extra_ones():
    places = torch.arange(6.0).view(2, 3)
    tokens = torch.cat([torch.tensor([-1.0]), places.flatten()])[None, :, None] * torch.tensor([1.0, 10.0])
    maps = Layout("tokens", 2, 3, extra=1).maps(tokens)
    assert torch.equal(maps, torch.stack([places, 10 * places])[None])


def test_channels_that_are_stored_last_become_the_second_axis():
    output = torch.randn(2, 3, 4, 5)
    maps = Layout("channels last", 3, 4).maps(output)
    assert maps.shape == (2, 5, 3, 4) and torch.equal(maps[1, 2], output[1, :, :, 2])


def test_an_output_without_places_is_refused_with_its_shape():
    with pytest.raises(ModelError, match=r"'pool' .*\(2, 512\).* 224 x 160"):
        require_layout("pool", (2, 512), (224, 160))


def test_a_layout_says_in_words_what_it_is():
    assert str(Layout("channels last", 7, 4)) == "7 x 4 positions, channels last"
    assert str(Layout("tokens", 7, 4, 2)) == "7 x 4 positions, as tokens without the first 2"
    assert str(Layout("tokens", 7, 4)) == "7 x 4 positions, as tokens"
