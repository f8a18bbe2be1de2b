"""Localisers with random weights."""

import torch
from PIL import Image

from dogcam.detection.evidence import View
from dogcam.detection.localiser import Localiser, LocaliserCard, LocaliserNetwork, stacked
from dogcam.detection.observer import Observer
from dogcam.models.checkpoints import weights_sha256
from dogcam.models.classifier import Classifier

LAYERS = ("features.stage2", "features.stage3")


def localiser_for(classifier: Classifier) -> Localiser:
    """Return a localiser of a sample network with random weights, whose boxes differ between positions."""
    view, observer = View(1.0, regressed=True), Observer(classifier, ("dog",))
    _, activations = observer.observe(Image.new("RGB", (128, 128)), view, layers=LAYERS)
    channels = len(stacked(activations))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = LocaliserNetwork(channels, 6, 8).eval()
        torch.nn.init.normal_(network.projection, std=0.1)
        torch.nn.init.normal_(network.distances.weight, std=0.05)
    sha256 = weights_sha256(classifier.network)
    return Localiser(LocaliserCard(sha256, LAYERS, channels, 6, 8, {}), network)
