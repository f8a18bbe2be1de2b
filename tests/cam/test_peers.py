"""Oracles: the maps of other libraries, before they resize them, as shares of their peaks.

Where a library computes something else than the paper, a test shows what it computes, so that each difference
has its reason.
"""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.densenet import DenseNet
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.models.vgg import VGG, make_layers

from dogcam.cam import (
    AblationCam,
    GradCam,
    GradCamPlusPlus,
    HiResCam,
    LayerCam,
    ScoreCam,
    XGradCam,
    explain,
)
from dogcam.cam.eigen import principal_maps

pytestmark = pytest.mark.peers

SIZE = 96
CLASSES = 20
TOLERANCE = 1e-5

NETWORKS = {
    "resnet": ["layer4", "layer3"],
    "vgg": ["features.29", "features.22"],
    "densenet": ["features.denseblock4", "features.denseblock3"],
    "convnext": ["features", "features.5"],
}
"""The layers to look at: the last one before pooling, and an earlier one.

In DenseNet the last one is `features`, which a ReLU overwrites in place: see the test of that below.
"""

BEFORE_NORMALISATION = "features.5"
"""A layer of ConvNeXt whose output goes into layer normalisation and nowhere else."""

SUMS_NEAR_ZERO = 1e-4
"""Where maps go below 0, a sum of theirs may be next to nothing, and two methods divide by it: what rounding
and the number that a library adds to it do is enlarged. In double precision both agree: see below."""

DIVIDED = ("densenet", "convnext")
"""The networks whose maps go below 0."""

PLACES = [(name, layer) for name, layers in NETWORKS.items() for layer in layers]


def peer(name: str):
    return pytest.importorskip(name, reason=f"{name} is not installed: pip install 'dogcam[peers]'")


def vgg() -> VGG:
    """Return VGG-16 with an eighth of its channels, and a head of 64 in place of 4,096 units."""
    blocks = [(8, 2), (16, 2), (32, 3), (64, 3), (64, 3)]
    plan = [entry for width, count in blocks for entry in (*[width] * count, "M")]
    network = VGG(make_layers(plan), num_classes=CLASSES)
    network.classifier = nn.Sequential(nn.Linear(64 * 49, 64), nn.ReLU(), nn.Linear(64, CLASSES))
    return network


def convnext() -> ConvNeXt:
    stages = [CNBlockConfig(16, 32, 1), CNBlockConfig(32, 64, 1), CNBlockConfig(64, 128, 1)]
    return ConvNeXt([*stages, CNBlockConfig(128, None, 1)], num_classes=CLASSES)


BUILT_BY = {
    "resnet": lambda: ResNet(Bottleneck, [1, 1, 1, 1], num_classes=CLASSES),
    "vgg": vgg,
    "densenet": lambda: DenseNet(8, (2, 2, 2, 2), 16, num_classes=CLASSES),
    "convnext": convnext,
}
"""Small members of the families: a method that perturbs needs a forward pass for each channel."""


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    built = {}
    for name, build in BUILT_BY.items():
        torch.manual_seed(0)
        network = build()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        with torch.no_grad():
            network.train()(torch.randn(8, 3, 64, 64))
            last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
            # Slopes well above the small numbers that the libraries add to their denominators.
            last.weight *= 1e4
        # The libraries differentiate down to what asks for it: the images, and no weights.
        built[name] = network.eval().requires_grad_(False)
    return built


@pytest.fixture(scope="module")
def batch() -> Tensor:
    images = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    return images.requires_grad_()


def top_class(network: nn.Module, images: Tensor) -> int:
    with torch.no_grad():
        return int(network(images).min(dim=0).values.argmax())


def share_of_peak(maps) -> np.ndarray:
    maps = np.maximum(np.asarray(maps, dtype=np.float64), 0)
    assert (maps.max(axis=(1, 2)) > 0).all(), "a map of zeros compares nothing"
    return maps / maps.max(axis=(1, 2), keepdims=True)


def assert_same(ours: Tensor, theirs, tolerance: float = TOLERANCE) -> None:
    theirs = theirs.detach() if isinstance(theirs, Tensor) else theirs
    np.testing.assert_allclose(share_of_peak(ours), share_of_peak(theirs), rtol=0, atol=tolerance)


def at_layer(network: nn.Module, layer: str, images: Tensor, target: int) -> tuple[Tensor, Tensor]:
    """Return a layer's activations and the gradients of the target's logit there, by torch alone."""
    kept = []
    handle = network.get_submodule(layer).register_forward_hook(lambda *given: kept.append(given[2]))
    logits = network(images)
    handle.remove()
    (gradients,) = torch.autograd.grad(logits[:, target].sum(), kept[0])
    return kept[0].detach(), gradients


def grad_cam_library(
    kinds: list[str], network: nn.Module, layer: str, images: Tensor, target: int
) -> list[np.ndarray]:
    """The maps of pytorch-grad-cam before `scale_cam_image`, all kinds from the pass of the first."""
    library = peer("pytorch_grad_cam")
    targets = [library.utils.model_targets.ClassifierOutputTarget(target)] * len(images)
    module = network.get_submodule(layer)
    maps, kept = [], []
    for kind in kinds:
        with getattr(library, kind)(network, [module]) as method:
            if not kept:
                method(images, targets)
                seen = method.activations_and_grads
                kept = [seen.activations[0].numpy(), seen.gradients[0].numpy() if seen.gradients else None]
            maps.append(method.get_cam_image(images, module, targets, *kept, False))
    return maps


OF_GRADIENTS = {
    "GradCAM": GradCam,
    "GradCAMPlusPlus": GradCamPlusPlus,
    "HiResCAM": HiResCam,
    "LayerCAM": LayerCam,
    "XGradCAM": XGradCam,
}


@pytest.mark.parametrize(("name", "layer"), PLACES)
def test_pytorch_grad_cam(networks, batch, name, layer):
    network, target = networks[name], top_class(networks[name], batch)
    ours = explain(network, batch, [target], [method(layer) for method in OF_GRADIENTS.values()]).maps
    theirs = grad_cam_library(list(OF_GRADIENTS), network, layer, batch, target)
    divided = {"GradCAMPlusPlus", "XGradCAM"} if name in DIVIDED else set()
    for kind, maps, others in zip(OF_GRADIENTS, ours, theirs, strict=True):
        if (kind, layer) != ("HiResCAM", BEFORE_NORMALISATION):
            assert_same(maps[:, 0], others, SUMS_NEAR_ZERO if kind in divided else TOLERANCE)


@pytest.mark.parametrize(("name", "layer"), PLACES)
def test_torchcam(networks, batch, name, layer):
    methods = peer("torchcam.methods")
    network, target = networks[name], top_class(networks[name], batch)
    kinds = {methods.GradCAM: GradCam, methods.LayerCAM: LayerCam, methods.XGradCAM: XGradCam}
    ours = explain(network, batch, [target], [method(layer) for method in kinds.values()]).maps
    for kind, maps in zip(kinds, ours, strict=True):
        with kind(network, layer) as extractor:
            (theirs,) = extractor(target, network(batch), normalized=False)
        assert_same(maps[:, 0], theirs)


@pytest.mark.parametrize(("name", "layer"), PLACES)
def test_captum(networks, batch, name, layer):
    attr = peer("captum.attr")
    network, target = networks[name], top_class(networks[name], batch)
    ours = explain(network, batch, [target], [GradCam(layer)]).maps[0]
    method = attr.LayerGradCam(network, network.get_submodule(layer))
    theirs = method.attribute(batch, target, relu_attributions=True)[:, 0]
    assert_same(ours[:, 0], theirs)


def test_cam_of_torchcam(networks, batch):
    methods = peer("torchcam.methods")
    network, target = networks["resnet"], top_class(networks["resnet"], batch)
    with methods.CAM(network, "layer4", fc_layer="fc") as extractor:
        network(batch)
        (theirs,) = extractor(target, normalized=False)
    assert_same(explain(network, batch, [target], [GradCam("layer4")]).maps[0][:, 0], theirs)


# Methods that perturb: layers of few maps, small images, since every map costs a forward pass

FEW_MAPS = [
    ("resnet", "relu"), ("vgg", "features.4"), ("densenet", "features.relu0"),
    ("convnext", "features.1"),
]  # fmt: skip


@pytest.fixture(scope="module")
def small() -> Tensor:
    return torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def calmed(network: nn.Module, factor: float):
    """Scale the logits, so that a softmax over maps is not all on one of them."""
    return nn.Sequential(network, Factor(factor)).eval()


class Factor(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, logits: Tensor) -> Tensor:
        return logits * self.factor


@pytest.mark.parametrize(("name", "layer"), FEW_MAPS)
def test_score_cam_of_pytorch_grad_cam_but_for_how_it_enlarges(networks, small, name, layer, monkeypatch):
    """It stretches the corner cells' centres to the corners; with the other convention it agrees."""
    peer("pytorch_grad_cam")

    def between_centres(size):
        return nn.Upsample(size=tuple(size), mode="bilinear", align_corners=False)

    monkeypatch.setattr(nn, "UpsamplingBilinear2d", between_centres)
    network = calmed(networks[name], 1e-4)
    target = top_class(network, small)
    ours = explain(network, small, [target], [ScoreCam(f"0.{layer}")]).maps[0]
    assert_same(ours[:, 0], grad_cam_library(["ScoreCAM"], network, f"0.{layer}", small, target)[0])


@pytest.mark.parametrize(("name", "layer"), FEW_MAPS[:3])
def test_ablation_cam_of_pytorch_grad_cam_behind_a_relu(networks, small, name, layer):
    """Where a layer goes below 0, as ConvNeXt's, it puts -1e7 in place of a map, which the paper does not.

    A map of early layers takes little off the score, and what it takes is the difference of two scores that
    are rounded to single precision: hence the wider tolerance there.
    """
    single = networks[name], small, 1e-4
    double = copy.deepcopy(networks[name]).double(), small.double(), TOLERANCE
    for network, images, tolerance in (single, double):
        target = top_class(network, images)
        with torch.no_grad():
            assert network(images)[0, target] > 0
        ours = explain(network, images, [target], [AblationCam(layer)]).maps[0]
        theirs = grad_cam_library(["AblationCAM"], network, layer, images, target)[0]
        assert_same(ours[:, 0], theirs, tolerance)


# What differs, and why


@pytest.mark.parametrize(("name", "layer"), [place for place in PLACES if place[0] in DIVIDED])
def test_methods_that_divide_by_sums_near_zero_agree_in_double_precision(networks, batch, name, layer):
    """What single precision leaves of such a sum parts any two programs, and each from the truth."""
    network = copy.deepcopy(networks[name]).double()
    images = batch.detach().double().requires_grad_()
    target = top_class(network, images)
    requests = [GradCamPlusPlus(layer), XGradCam(layer)]
    plus_plus, cross = (maps[:, 0] for maps in explain(network, images, [target], requests).maps)
    kinds = ["GradCAMPlusPlus", "XGradCAM"]
    their_plus_plus, their_cross = grad_cam_library(kinds, network, layer, images, target)
    assert_same(plus_plus, their_plus_plus)
    activations, gradients = at_layer(network, layer, images, target)
    sums = activations.sum(dim=(2, 3), keepdim=True)
    products = (gradients * activations).sum(dim=(2, 3), keepdim=True)
    assert_same(cross, (products / sums * activations).sum(dim=1).numpy(), 1e-9)
    # It adds a number to the sums, which tells where they are next to nothing, and nowhere else.
    assert_same((products / (sums + 1e-7) * activations).sum(dim=1), their_cross, 1e-9)


def test_hires_cam_of_what_is_normalised_next_is_rounding_in_any_library(networks, batch):
    """Layer normalisation ignores how large its input is: gradient and activations multiply up to 0."""
    network, layer = networks["convnext"], BEFORE_NORMALISATION
    target = top_class(network, batch)
    in_single = explain(network, batch, [target], [HiResCam(layer), LayerCam(layer)]).maps
    assert in_single[0].max() < 1e-4 * in_single[1].max()
    (theirs,) = grad_cam_library(["HiResCAM"], network, layer, batch, target)
    assert theirs.max() < 1e-4 * in_single[1].max().item()


def test_eigen_cam_of_pytorch_grad_cam_is_that_of_centred_maps_with_any_sign(networks, batch):
    network = networks["resnet"]
    with torch.no_grad():
        kept = []
        handle = network.layer4.register_forward_hook(lambda *given: kept.append(given[2]))
        network(batch)
        handle.remove()
    ours = principal_maps(kept[0] - kept[0].mean(dim=(2, 3), keepdim=True))
    (theirs,) = grad_cam_library(["EigenCAM"], network, "layer4", batch, 0)
    for image, other in zip(ours, theirs, strict=True):
        sign = np.sign((image.numpy() * other).sum())
        assert_same(image[None], sign * other[None])


def test_grad_cam_plus_plus_of_torchcam_leaves_out_the_denominator(networks, batch):
    """Its division works on a copy: its weights are the sum of the cubed positive gradients."""
    methods = peer("torchcam.methods")
    network, layer = networks["resnet"], "layer3"
    target = top_class(network, batch)
    with methods.GradCAMpp(network, layer) as extractor:
        (theirs,) = extractor(target, network(batch), normalized=False)
    activations, gradients = at_layer(network, layer, batch, target)
    cubed = torch.einsum("nchw,nc->nhw", activations, gradients.relu().pow(3).sum(dim=(2, 3)))
    assert_same(cubed, theirs)
    ours = explain(network, batch, [target], [GradCamPlusPlus(layer)]).maps[0][:, 0]
    assert np.abs(share_of_peak(ours) - share_of_peak(theirs.detach())).max() > 100 * TOLERANCE


def test_pytorch_grad_cam_sees_what_an_in_place_relu_left_of_the_activations(networks, batch):
    """DenseNet's last maps go through a ReLU in place: it weighs what is left of them, dogcam what was."""
    network, target = networks["densenet"], top_class(networks["densenet"], batch)
    (theirs,) = grad_cam_library(["GradCAM"], network, "features", batch, target)
    ours = explain(network, batch, [target], [GradCam("features")]).maps[0][:, 0]
    with torch.no_grad():
        before = network.features(batch)
    channel_gradients = (before > 0) * network.classifier.weight[target][:, None, None] / before[0, 0].numel()
    alpha = channel_gradients.mean(dim=(2, 3), keepdim=True)
    assert (before < 0).any()
    assert_same((alpha * before.relu()).sum(dim=1), theirs)
    assert_same((alpha * before).sum(dim=1), ours)
