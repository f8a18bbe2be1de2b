"""Checks of maps: similarity against loops, weights that lose their meaning, orders in which pixels go."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.transforms.functional import gaussian_blur

from dogcam.evaluate import sanity
from dogcam.evaluate.sanity.similarity import WINDOW
from dogcam.models.networks import sample_net
from tests.support.tiny_networks import OnDeviceWithoutDouble


def random_map(seed, size=(9, 11)):
    return np.random.default_rng(seed).random(size).astype(np.float32)


def slow_ssim(a, b, side):
    """SSIM window by window, straight from its definition."""
    a, b = a / a.max(), b / b.max()
    values = []
    for y in range(a.shape[0] - side + 1):
        for x in range(a.shape[1] - side + 1):
            p, q = (each[y : y + side, x : x + side].astype(float).ravel() for each in (a, b))
            shared = ((p - p.mean()) * (q - q.mean())).mean()
            above = (2 * p.mean() * q.mean() + 1e-4) * (2 * shared + 9e-4)
            values.append(above / ((p.mean() ** 2 + q.mean() ** 2 + 1e-4) * (p.var() + q.var() + 9e-4)))
    return np.mean(values)


@pytest.mark.slow
def test_rank_correlation_is_that_of_scipy_ties_included():
    from scipy import stats

    rng = np.random.default_rng(1)
    for _ in range(20):
        a, b = rng.integers(0, 4, (2, 6, 7)).astype(np.float32)
        assert sanity.spearman(a, b) == pytest.approx(stats.spearmanr(a.ravel(), b.ravel()).statistic)


def test_rank_correlation_by_hand():
    rising = np.arange(6.0).reshape(2, 3)
    assert sanity.spearman(rising, rising**3) == pytest.approx(1.0)
    assert sanity.spearman(rising, -rising) == pytest.approx(-1.0)
    assert np.isnan(sanity.spearman(rising, np.zeros((2, 3))))


@pytest.mark.parametrize(("size", "side"), [((9, 11), WINDOW), ((4, 9), 3), ((5, 5), 5), ((1, 6), 1)])
def test_structural_similarity_equals_the_loops(size, side):
    for seed in range(5):
        a, b = random_map(seed, size), random_map(seed + 50, size)
        assert sanity.ssim(a, b) == pytest.approx(slow_ssim(a, b, side), abs=1e-6)


def test_structural_similarity_of_a_map_with_itself_and_with_nothing():
    map_ = random_map(3)
    assert sanity.ssim(map_, 5 * map_) == pytest.approx(1.0)
    assert np.isnan(sanity.ssim(map_, np.zeros_like(map_)))


class Backwards(nn.Module):
    """Defines its layers in another order than it runs them, and shares a weight."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 2)
        self.second = nn.Conv2d(4, 4, 1)
        self.first = nn.Conv2d(3, 4, 3)
        self.third = nn.Conv2d(4, 4, 1)
        self.third.weight = self.second.weight

    def forward(self, images):
        return self.head(self.third(self.second(self.first(images))).mean(dim=(2, 3)))


def images(n=2, size=12):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(4))


def test_layers_come_in_the_order_in_which_they_run_and_no_hook_is_left():
    network = Backwards().train()
    assert sanity.layers_as_they_run(network, images()) == ["first", "second", "third", "head"]
    assert network.training
    assert not any(module._forward_pre_hooks for module in network.modules())


class Functional(nn.Module):
    """Multiplies by the weights of a layer without running it, as torchvision's Swin does."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.listed = nn.ParameterList([nn.Parameter(torch.rand(4))])

    def forward(self, tokens):
        return nn.functional.linear(tokens, self.inner.weight, self.inner.bias) * self.listed[0]


class Attending(nn.Module):
    """Attention, whose last projection never runs by itself, weights used in passing, and others unused."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Sequential(nn.Linear(4, 5))
        self.head = nn.Linear(4, 2)
        self.mixed = nn.Sequential(nn.Sequential(Functional()), nn.LayerNorm(4))
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.patches = nn.Conv2d(3, 4, 4, 4)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens, _ = self.attention(tokens, tokens, tokens)
        return self.head(self.mixed(tokens).mean(dim=1))


def randomised_share(network, layers):
    """Return which part of the parameters has lost its order when all layers are done."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.rand(weight.shape))  # of different values, so that each shuffle is seen
    cascade = sanity.Cascade(network, layers, seed=3)
    cascade.randomise(len(layers))
    pairs = list(zip(network.parameters(), cascade.network.parameters(), strict=True))
    return sum(a.numel() for a, b in pairs if not torch.equal(a, b)) / sum(a.numel() for a, _ in pairs)


def test_weights_of_layers_that_never_run_stand_beside_what_uses_them():
    layers = sanity.layers_as_they_run(Attending(), images())
    assert layers == [
        "unused.0", "patches", "attention", "attention.out_proj", "mixed.0.0.inner", "mixed.0.0.listed",
        "mixed.1", "head",
    ]  # fmt: skip


def tiny_swin():
    torch.manual_seed(0)
    return models.SwinTransformer([4, 4], 8, [1, 1], [2, 2], [2, 2], num_classes=2)


def tiny_vit():
    torch.manual_seed(0)
    return models.VisionTransformer(16, 8, 1, 2, 8, 8, num_classes=2)


@pytest.mark.parametrize("build", [Attending, Backwards, tiny_swin, tiny_vit])
def test_at_the_last_depth_every_parameter_is_randomised(build):
    network = build()
    layers = sanity.layers_as_they_run(network, images(1, 16))
    assert len(layers) == len(set(layers))
    assert randomised_share(network, layers) == 1


def test_the_cascade_deals_out_the_values_of_the_last_layers():
    torch.manual_seed(0)
    network = Backwards()
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    cascade = sanity.Cascade(network, sanity.layers_as_they_run(network, images()), seed=3)

    def changed():
        found = set()
        for name, weight in cascade.network.state_dict().items():
            assert torch.equal(weight.flatten().sort().values, before[name].flatten().sort().values)
            if not torch.equal(weight, before[name]):
                found.add(name.split(".")[0])
        return found

    assert cascade.randomise(1) == "head"
    assert changed() == {"head"}
    assert cascade.randomise(2) == "second"
    # A weight that two layers share is one weight.
    assert changed() == {"head", "second", "third"}
    assert cascade.network.second.weight is cascade.network.third.weight
    assert cascade.randomise(1) == "first"
    assert changed() == {"head", "second", "third", "first"}
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())


def test_a_seed_makes_the_same_cascade():
    network = sample_net(4).eval()
    layers = sanity.layers_as_they_run(network, images(1, 32))

    def weights(seed):
        cascade = sanity.Cascade(network, layers, seed)
        cascade.randomise(len(layers))
        return torch.cat([weight.flatten() for weight in cascade.network.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_every_order_names_every_pixel_once_and_begins_where_it_should():
    map_ = np.zeros((4, 4), dtype=np.float32)
    map_[0, 3] = 1.0
    orders = sanity.removal_orders(map_, (8, 12), np.random.default_rng(0))
    assert tuple(orders) == sanity.ORDERS
    for order in orders.values():
        assert sorted(order.tolist()) == list(range(96))
    y, x = np.divmod(orders["map"][:4], 12)
    assert (y < 3).all()
    assert (x >= 9).all()
    y, x = np.divmod(orders["centre"][:4], 12)
    assert set(y) == {3, 4}
    assert set(x) == {5, 6}


def test_pixels_of_one_value_come_in_random_order():
    flat = np.ones((4, 4), dtype=np.float32)
    first, second = (
        sanity.removal_orders(flat, (8, 8), np.random.default_rng(seed))["map"] for seed in (1, 2)
    )
    assert not np.array_equal(first, second)
    assert abs(first[:32].mean() - 31.5) < 12


def probabilities(logits):
    return 1 / (1 + np.exp(-logits.cpu().numpy().astype(np.float64)))


def test_erasing_works_on_a_device_without_double_precision():
    class Elsewhere(nn.Module):
        def forward(self, images):
            return images.mean(dim=(1, 2, 3))[:, None].as_subclass(OnDeviceWithoutDouble)

    picture, order = images(1, 4)[0], np.arange(16)
    found = sanity.probabilities_during(
        Elsewhere(), probabilities, picture, torch.zeros_like(picture), [order], 0, [0.0, 1.0], 8
    )
    assert found.dtype == np.float64
    present = float(picture.mean().sigmoid())
    np.testing.assert_allclose(found, [[[present, 0.5], [0.5, present]]], rtol=1e-6)


class Corner(nn.Module):
    """Knows its class by how far the upper left quarter is from plain."""

    def forward(self, images):
        return 40 * images[:, :1, :8, :8].square().mean(dim=(2, 3)) - 2


def test_erasing_what_the_network_looks_at_takes_the_class_away():
    network = Corner().eval()
    image = torch.from_numpy(np.random.default_rng(0).choice([-1.0, 1.0], (3, 16, 16))).float()
    blank = torch.zeros_like(image)
    map_ = np.zeros((4, 4), dtype=np.float32)
    map_[:2, :2] = 1.0
    orders = sanity.removal_orders(map_, (16, 16), np.random.default_rng(5))
    fractions = (0.0, 0.25, 0.5, 1.0)
    found = sanity.probabilities_during(
        network, probabilities, image, blank, list(orders.values()), 0, fractions, 3
    )
    values = {
        (erased, name): found[place, 0 if erased else 1]
        for erased in (True, False)
        for place, name in enumerate(orders)
    }
    for name, order in orders.items():
        half = image.clone().flatten(1)
        half[:, order[:128]] = 0.0
        expected = float(network(half.view(1, 3, 16, 16)).sigmoid())
        assert values[True, name][2] == pytest.approx(expected)
    present, absent = (float(network(each[None]).sigmoid()) for each in (image, blank))
    for name in sanity.ORDERS:
        assert values[True, name][[0, -1]] == pytest.approx([present, absent])
        assert values[False, name][[0, -1]] == pytest.approx([absent, present])
    # The map's quarter of the pixels is nearly all that counts.
    assert values[True, "map"][1] < values[True, "random"][1]
    assert values[False, "map"][1] > values[False, "random"][1]
    areas = {key: sanity.auc(each, fractions) for key, each in values.items()}
    assert areas[True, "map"] < min(areas[True, "random"], areas[True, "centre"])
    assert areas[False, "map"] > max(areas[False, "random"], areas[False, "centre"])


def test_the_area_under_a_curve_by_hand():
    assert sanity.auc(np.array([1.0, 0.5, 0.0]), (0.0, 0.25, 1.0)) == pytest.approx(0.1875 + 0.1875)
    assert sanity.auc(np.ones((2, 3)), (0.0, 0.5, 1.0)).tolist() == [1.0, 1.0]


def test_blurring_leaves_no_detail_and_the_mean():
    board = torch.tensor(np.indices((16, 24)).sum(axis=0) % 2).float().expand(1, 3, 16, 24)
    flat = sanity.blurred(board)
    assert flat.shape == board.shape
    assert (flat[..., 4:-4, 4:-4] - 0.5).abs().max() < 0.05


@pytest.mark.parametrize("size", [(16, 24), (40, 33), (7, 9)])
def test_blurring_is_torchvisions(size):
    pictures = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    sigma = min(size) / 12
    side = 2 * round(3 * sigma) + 1
    expected = gaussian_blur(pictures, [side, side], [sigma, sigma])
    torch.testing.assert_close(sanity.blurred(pictures), expected, atol=2e-6, rtol=0)


@pytest.mark.slow
def test_a_head_is_fitted_to_what_tells_the_labels_apart():
    rng = np.random.default_rng(2)
    labels = rng.random(80) < 0.3
    pooled = rng.random((80, 4)).astype(np.float32)
    pooled[:, 1] += 2 * labels
    pooled[:, 3] = 7.0
    weights = sanity.fit_linear_map(pooled, labels)
    assert np.argmax(weights) == 1
    assert weights[3] == 0.0


def test_maps_of_a_head_are_weighted_sums_without_what_speaks_against():
    rng = np.random.default_rng(3)
    activations, weights = rng.normal(size=(2, 3, 4, 5)).astype(np.float32), rng.normal(size=3)
    expected = sum(weights[channel] * activations[:, channel] for channel in range(3))
    np.testing.assert_allclose(sanity.maps_of(activations, weights), np.maximum(expected, 0), atol=1e-6)


@pytest.mark.parametrize("tokens", [False, True])
def test_activations_are_read_as_maps_and_averaged(tokens):
    class Tokens(nn.Module):
        def forward(self, maps):
            return maps.flatten(2).transpose(1, 2) if tokens else maps

    layers = OrderedDict(conv=nn.Conv2d(3, 5, 4, 4), layout=Tokens())
    layers |= {"flat": nn.Flatten(), "head": nn.Linear(45, 2)}
    network = nn.Sequential(layers).eval()
    maps = sanity.activation_maps(network, [images(2), images(1)], "layout", pooled=False)
    np.testing.assert_allclose(maps[:2], network.conv(images(2)).detach(), atol=1e-6)
    pooled = sanity.activation_maps(network, [images(2), images(1)], "layout", pooled=True)
    np.testing.assert_allclose(pooled, maps.mean(axis=(2, 3)), atol=1e-6)
