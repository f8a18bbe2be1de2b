"""A network as one graph from images to logits and the maps of all classes."""

import copy
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dogcam.cam import Cam, explain
from dogcam.errors import ModelError, first_line
from dogcam.models.classifier import Classifier
from dogcam.network.heads import JointHead, LogOddsHead

Head = nn.Linear | LogOddsHead | JointHead

TOLERANCE = 1e-4
"""Largest difference of maps and logits, relative to the largest value; above rounding in single
precision."""

N_NOISE_IMAGES = 3
"""Number of noise images that a graph is verified on."""


class MapsNetwork(nn.Module):
    """Compute logits, the maps of all classes, and the activation maps.

    Args:
        features: (N, 3, H, W) images -> (N, C, h, w) activation maps.
        head: its input is the spatial mean of the activation maps.
    """

    def __init__(self, features: nn.Module, head: Head) -> None:
        super().__init__()
        self.features, self.head = features, head

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (N, K) logits, (N, K, h, w) class activation maps and (N, C, h, w) activation maps."""
        activations = self.features(images)
        if isinstance(self.head, nn.Linear):
            maps = F.conv2d(activations, self.head.weight[:, :, None, None])
            logits = maps.mean(dim=(2, 3))
            return logits if self.head.bias is None else logits + self.head.bias, maps, activations
        # The weights depend on the image: one matrix product for each image instead of the convolution.
        pooled = activations.mean(dim=(2, 3))
        maps = self.head.weights(pooled) @ activations.flatten(2)
        return self.head(pooled), maps.unflatten(2, activations.shape[2:]), activations


def noise_images(classifier: Classifier, n: int = N_NOISE_IMAGES) -> Tensor:
    """Return noise of the input size of a classifier: (n, 3, H, W) float32 tensor on its device."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(n, 3, *classifier.preprocessing.size, generator=generator)
    return noise.to(classifier.device, memory_format=torch.channels_last)


def maps_network(classifier: Classifier) -> MapsNetwork:
    """Build the graph of a classifier, fold batch normalisation into convolutions, and verify it.

    Returns:
        A new network; that of the classifier is unchanged.

    Raises:
        ModelError: if the network cannot be traced, or does not end in global average pooling of the target
            layer and the head, verified on noise images.
    """
    if classifier.head is None:
        raise ModelError(
            f"{classifier.name} does not end in the spatial mean of {classifier.target_layer!r} and one head"
        )
    network = copy.deepcopy(classifier.network).eval().requires_grad_(False)
    features = _features(network, classifier.target_layer)
    built = MapsNetwork(features, cast(Head, network.get_submodule(classifier.head))).eval()
    built.to(memory_format=torch.channels_last)
    images = noise_images(classifier)
    request = Cam(classifier.target_layer, classifier.head)
    expected = explain(classifier.network, images, range(len(classifier.classes)), [request])
    with torch.inference_mode():
        logits, maps, _ = built(images)
    require_same(logits, expected.logits, "the logits of the traced network")
    require_same(maps, expected.maps[0], "the maps of the traced network")
    return built


def require_same(found: Tensor, expected: Tensor, what: str) -> None:
    """Verify that two tensors are equal up to rounding.

    Raises:
        ModelError: if a difference is above `TOLERANCE` of the largest expected value, or nan.
    """
    if found.shape != expected.shape:
        raise ModelError(f"{what} have shape {tuple(found.shape)}; expected {tuple(expected.shape)}")
    difference = (found - expected).abs().max() / expected.abs().max().clamp(min=1e-30)
    if not difference <= TOLERANCE:
        raise ModelError(
            f"{what} differ by {difference:.2g} of the largest value; expected at most {TOLERANCE}; use the "
            "reference implementation"
        )


def _features(network: nn.Module, layer: str) -> fx.GraphModule:
    """Trace the network up to the output of a layer."""
    try:
        graph = fx.Tracer().trace(network)
    except Exception as error:  # the code of the network may raise anything if it receives a tracer
        raise ModelError(f"{type(network).__name__} cannot be traced ({first_line(error)})") from error
    inside = [node for node in graph.nodes if _belongs_to(node, layer)]
    if not inside:
        raise ModelError(f"the layer {layer!r} does not run in {type(network).__name__}")
    (output,) = graph.find_nodes(op="output")
    output.args = (inside[-1],)
    nodes = list(graph.nodes)
    for node in reversed(nodes[nodes.index(inside[-1]) + 1 : nodes.index(output)]):
        graph.erase_node(node)
    _fold_batch_norms(network, graph)
    return fx.GraphModule(network, graph)


def _belongs_to(node: fx.Node, layer: str) -> bool:
    return any(path == layer for path, _ in node.meta.get("nn_module_stack", {}).values())


def _fold_batch_norms(network: nn.Module, graph: fx.Graph) -> None:
    """Fold each batch normalisation into the convolution before it, if nothing else uses the convolution."""
    modules = dict(network.named_modules(remove_duplicate=False))
    used = [node.target for node in graph.nodes if node.op == "call_module"]
    for node in list(graph.nodes):
        if node.op != "call_module" or type(modules[node.target]) is not nn.BatchNorm2d:
            continue
        given, norm = node.args[0], modules[node.target]
        folds = given.op == "call_module" and type(modules[given.target]) is nn.Conv2d
        if not folds or len(given.users) > 1 or used.count(given.target) > 1 or norm.running_var is None:
            continue
        network.set_submodule(given.target, fuse_conv_bn_eval(modules[given.target], norm))
        node.replace_all_uses_with(given)
        graph.erase_node(node)
