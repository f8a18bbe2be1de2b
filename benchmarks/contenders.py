"""Contenders of the CAM benchmark: the forward pass, dogcam's backends, and three other libraries.

Each has its own copy of the network, so that hooks do not slow others down, and is used as documented.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from dogcam.backends import load_backend
from dogcam.cam import GradCam, explain
from dogcam.models.classifier import Classifier
from dogcam.models.preprocessing import Preprocessing

LAYER, HEAD = "layer4", "fc"

Work = Callable[[Tensor, Sequence[int]], object]
"""Computes the maps of a batch for K classes; `read` of the contender converts the result."""


@dataclass(frozen=True)
class Subject:
    """The input of all contenders.

    Attributes:
        network: in evaluation mode, channels first, as torch builds it.
        images: (N, 3, H, W) float32 tensor, channels first.
        calibration: other images of that size, for 8-bit numbers.
        cache: folder for exported networks.
    """

    network: nn.Module
    images: Tensor
    calibration: Tensor
    cache: Path

    def classifier(self) -> Classifier:
        """Return the network as one of dogcam's classifiers, channels last."""
        network = copy.deepcopy(self.network).to(memory_format=torch.channels_last)
        names = tuple(f"class {number}" for number in range(network.fc.out_features))
        size = tuple(self.images.shape[2:])
        return Classifier(
            "resnet", network, names, Preprocessing(size), LAYER, "layer3", HEAD, "seeded", "sigmoid"
        )


def as_it_is(maps: Tensor, _targets: Sequence[int]) -> Tensor:
    """Return maps of shape (N, K, h, w) unchanged."""
    return maps


def of_backend(maps: Tensor, targets: Sequence[int]) -> Tensor:
    """Select the maps of the targets."""
    return maps[:, list(targets)]


def nothing(_made: object, _targets: Sequence[int]) -> None:
    """Return None: a forward pass has no maps."""


@dataclass(frozen=True)
class Contender:
    """An implementation that is timed.

    Attributes:
        name: of the implementation.
        prepare: sets it up, and returns the timed work.
        n_classes: how many classes are explained at once, K; 0 for a forward pass.
        read: result of the work and targets -> (N, K, h, w) maps at the resolution of the layer; None for a
            forward pass.
        rounding: the maps differ from the exact maps by rounding only.
        any_size: accepts small images, so that its code is loaded before memory is measured.
        compiles: uses a compiler: not part of quick runs, memory not measured.
    """

    name: str
    prepare: Callable[[Subject], Work]
    n_classes: int = 1
    read: Callable[[object, Sequence[int]], Tensor | None] = field(default=as_it_is)
    rounding: bool = True
    any_size: bool = True
    compiles: bool = False


def forward(subject: Subject, layout: torch.memory_format) -> Work:
    """Compute only the logits."""
    network = copy.deepcopy(subject.network).to(memory_format=layout)

    @torch.inference_mode()
    def work(images: Tensor, _targets: Sequence[int]) -> Tensor:
        return network(images.contiguous(memory_format=layout))

    return work


def engine(subject: Subject) -> Work:
    """Call `explain`, which detects pooling and head on each batch."""
    network = subject.classifier().network

    def work(images: Tensor, targets: Sequence[int]) -> Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        return explain(network, images, targets, [GradCam(LAYER)]).maps[0]

    return work


def backend(subject: Subject, name: str) -> Work:
    """Run a backend, which computes the maps of all classes."""
    loaded = load_backend(name, subject.classifier(), subject.cache, [subject.calibration])
    if loaded.name != name:
        raise RuntimeError(f"the backend {name} cannot be had here; see the warning above")

    def work(images: Tensor, _targets: Sequence[int]) -> Tensor:
        maps = loaded.maps(images)[1]
        return maps.relu() / maps[0, 0].numel()

    return work


def pytorch_grad_cam(subject: Subject) -> Work:
    """Call pytorch-grad-cam, which resizes its maps to the images."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    network = copy.deepcopy(subject.network)
    method = GradCAM(network, [network.layer4])

    def work(images: Tensor, targets: Sequence[int]) -> Callable[[], object]:
        wanted = [ClassifierOutputTarget(targets[0])] * len(images)
        method(images, wanted)
        seen = method.activations_and_grads
        kept = [seen.activations[0].detach().numpy(), seen.gradients[0].numpy()]
        # The maps before resizing, computed again outside the timed work.
        return partial(method.get_cam_image, images, network.layer4, wanted, *kept, False)

    return work


def read_pytorch_grad_cam(made: Callable[[], object], _targets: Sequence[int]) -> Tensor:
    """Return the maps before resizing."""
    return torch.as_tensor(made())[:, None].relu()


def torchcam(subject: Subject) -> Work:
    """Call torch-cam on the logits of a forward pass."""
    from torchcam.methods import GradCAM

    network = copy.deepcopy(subject.network)
    extractor = GradCAM(network, LAYER)

    def work(images: Tensor, targets: Sequence[int]) -> Tensor:
        (maps,) = extractor(targets[0], network(images), normalized=False)
        return maps[:, None]

    return work


def captum(subject: Subject) -> Work:
    """Call Captum's LayerGradCam."""
    from captum.attr import LayerGradCam

    network = copy.deepcopy(subject.network)
    method = LayerGradCam(network, network.layer4)

    def work(images: Tensor, targets: Sequence[int]) -> Tensor:
        return method.attribute(images, targets[0], relu_attributions=True).detach()

    return work


CONTENDERS = (
    Contender("forward", partial(forward, layout=torch.contiguous_format), 0, nothing),
    Contender("forward_channels_last", partial(forward, layout=torch.channels_last), 0, nothing),
    Contender("dogcam_torch", partial(backend, name="torch"), 1, of_backend),
    Contender("dogcam_torch_20_classes", partial(backend, name="torch"), 20, of_backend),
    Contender("dogcam_compiled", partial(backend, name="compiled"), 1, of_backend, compiles=True),
    Contender("dogcam_onnx", partial(backend, name="onnx"), 1, of_backend, any_size=False),
    Contender("dogcam_openvino", partial(backend, name="openvino"), 1, of_backend, any_size=False),
    Contender("dogcam_int8", partial(backend, name="int8"), 1, of_backend, rounding=False, any_size=False),
    Contender("dogcam_engine", engine),
    Contender("dogcam_engine_20_classes", engine, 20),
    Contender("pytorch_grad_cam", pytorch_grad_cam, read=read_pytorch_grad_cam),
    Contender("torchcam", torchcam),
    Contender("captum", captum),
)
"""The measured implementations; the first is the reference."""
