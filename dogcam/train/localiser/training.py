"""Train a localiser: make the examples once, then train for epochs that resume after interruptions."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dogcam.detection.evidence import View
from dogcam.detection.localiser import Localiser, LocaliserCard, LocaliserNetwork
from dogcam.detection.observer import Observer
from dogcam.detection.presets import find_preset
from dogcam.detection.proposal_method import ProposalMethod
from dogcam.errors import ConfigError, DataError
from dogcam.files import path_inside, remove_temporary_files
from dogcam.files.locks import dir_lock
from dogcam.files.states import Sources
from dogcam.models.checkpoints import save_checkpoint
from dogcam.models.classifier import Classifier
from dogcam.structures.images import LabelledImage, Split
from dogcam.train.batches import prefetched
from dogcam.train.config import Cosine
from dogcam.train.history import describe_environment, environment_note
from dogcam.train.localiser.config import LocaliserConfig
from dogcam.train.localiser.examples import Example, ExampleMaker, Track, made_file, read_example, untracked
from dogcam.train.localiser.loss import localiser_loss
from dogcam.train.localiser.projection import estimate_projection
from dogcam.train.localiser.pseudo_boxes import position_targets
from dogcam.train.state import StateFile, Tensors

_log = logging.getLogger(__name__)

EXAMPLES = "examples"
"""The folder of the examples, inside the folder of the training."""

IMAGES_OF_PROJECTION = 200
"""Images on which the projection of activations is estimated."""


@dataclass(frozen=True)
class LocaliserEpoch:
    """The result of one epoch.

    Attributes:
        epoch: number of finished epochs, this one included.
        loss: mean loss, measured while the weights change.
        iou: mean IoU of the regressed boxes with the pseudo-boxes.
        environment: versions, device and threads (see `describe_environment`).
    """

    epoch: int
    loss: float
    iou: float
    environment: str


def train_localiser(
    classifier: Classifier,
    data: Split,
    config: LocaliserConfig,
    folder: Path,
    *,
    resume: bool = True,
    track: Track = untracked,
    epoch_ended: Callable[[LocaliserEpoch], None] = lambda epoch: None,
) -> Localiser:
    """Train a localiser for a classifier on images with labels; no annotated box is read.

    The boxes that the preset `best`, without its further views, finds for the classes of each label are
    taken for objects. Mosaics of them show several objects, and small ones. The localiser learns to regress
    them from the activations of the classifier, which does not change.

    Args:
        classifier: ends in global average pooling and a head, and accepts inputs of any size.
        data: the training images.
        config: every setting.
        folder: where examples and state are written; it is made if it is missing.
        resume: continue from a state in the folder.
        track: shows the progress.
        epoch_ended: called after each epoch, and for each epoch of an earlier, interrupted training.

    Raises:
        ModelError: if the classifier cannot be used, or a file in the folder is damaged.
        DataError: if an image cannot be read or changed, or no image has a label that the classifier knows.
        ConfigError: if the state in the folder belongs to another training.
    """
    # Before the images are hashed.
    sources = Sources(data.files)
    identity = identity_of(classifier, data, config)
    names, layers = identity["classes"], identity["layers"]
    images = [image for image in data.images if not image.labels.isdisjoint(names)]
    if not images:
        raise DataError(
            f"none of {len(data.images)} images has a label of {classifier.name}; expected one of "
            f"{', '.join(classifier.classes[:8])}"
        )
    method = _method_of_pseudo_boxes(config)
    file = StateFile(folder, identity, LocaliserEpoch)
    with dir_lock(folder):
        remove_temporary_files(folder)
        if resume:
            # Before the examples are made: the state, and so they, may be those of another training.
            file.read()
        maker = ExampleMaker(
            Observer(classifier, names), layers, method, method.views[-1], config,
            path_inside(folder, EXAMPLES), identity, sources, track,
        )  # fmt: skip
        maker.observer.require(method.all_views)
        network = _with_components(maker, images, config)
        network.to(classifier.device)
        examples = maker.make(images, network)
        _fit(network, examples, config, file, resume, epoch_ended, track)
    card = LocaliserCard(
        identity["classifier"], tuple(layers), len(network.mean), len(network.projection), config.width,
        identity,
    )  # fmt: skip
    return Localiser(card, network.eval())


def identity_of(classifier: Classifier, data: Split, config: LocaliserConfig) -> dict[str, Any]:
    """Return everything that determines the weights of a localiser, as plain values for JSON."""
    return {
        "settings": config.model_dump(mode="json"),
        "data": data.describe(),
        "classes": [name for name in classifier.classes if any(name in each.labels for each in data.images)],
        "classifier": classifier.weights_sha256(),
        "layers": [name for name in (classifier.earlier_layer, classifier.target_layer) if name],
        "method": repr(_method_of_pseudo_boxes(config)),
    }


def _method_of_pseudo_boxes(config: LocaliserConfig) -> ProposalMethod:
    """Return the method whose boxes are pseudo-boxes; its last view is that of the localiser."""
    best = find_preset("best")
    assert isinstance(best, ProposalMethod), "the preset `best` makes proposals"
    view = View(config.scale)
    views = (*(each for each in best.views if each != view), view)
    return replace(best, views=views, further_views=())


def _with_components(
    maker: ExampleMaker, images: Sequence[LabelledImage], config: LocaliserConfig
) -> LocaliserNetwork:
    """Return an untrained network with the components of the activations of some images."""
    path = maker.folder / "projection.safetensors"
    found = made_file(path, maker.identity)
    if found is None:
        generator = torch.Generator().manual_seed(config.seed)
        chosen = torch.randperm(len(images), generator=generator)[:IMAGES_OF_PROJECTION].tolist()
        shown = maker.track(chosen, len(chosen), "components")
        activations = (maker.activations(images[place]) for place in shown)
        mean, projection = estimate_projection(activations, config.components)
        state = {"mean": mean, "projection": projection}
        save_checkpoint(path, state, {"identity": maker.identity}, card_file=False)
    else:
        mean, projection = found.state["mean"], found.state["projection"]
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        network = LocaliserNetwork(len(mean), len(projection), config.width)
    network.mean.copy_(mean)
    network.projection.copy_(projection)
    return network


def _fit(
    network: LocaliserNetwork,
    examples: Sequence[tuple[Path, int]],
    config: LocaliserConfig,
    file: StateFile[LocaliserEpoch],
    resume: bool,
    epoch_ended: Callable[[LocaliserEpoch], None],
    track: Track,
) -> None:
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    tensors = Tensors(network, optimizer)
    records = file.load(tensors) if resume else []
    environment = describe_environment(network.mean.device)
    if records and records[-1].environment != environment:
        _log.warning(environment_note(records[-1].environment, environment))
    for record in records:
        epoch_ended(record)
    for epoch in range(len(records), config.epochs):
        loss, iou = _run_epoch(network, optimizer, examples, config, epoch, track)
        if not math.isfinite(loss):
            raise ConfigError(
                f"the loss is {loss} in epoch {epoch + 1}; use a learning_rate below {config.learning_rate:g}"
            )
        records.append(LocaliserEpoch(epoch + 1, loss, iou, environment))
        file.save(tensors, records)
        epoch_ended(records[-1])


def _run_epoch(
    network: LocaliserNetwork,
    optimizer: torch.optim.Optimizer,
    examples: Sequence[tuple[Path, int]],
    config: LocaliserConfig,
    epoch: int,
    track: Track,
) -> tuple[float, float]:
    """Train on every example once; return the mean loss, and the mean IoU with the pseudo-boxes."""
    network.train()
    schedule, n_batches = Cosine(warm_up=config.epochs / 10), -(-len(examples) // config.batch_size)
    loss_sum = iou_sum = 0.0
    with torch.random.fork_rng(), prefetched(_batches(examples, config, epoch)) as batches:
        torch.manual_seed(config.seed + epoch)
        tracked = track(batches, n_batches, f"epoch {epoch + 1}/{config.epochs}")
        for number, (components, evidence, boxes, weights) in enumerate(tracked):
            rate = schedule.multiplier(epoch + number / n_batches, config.epochs)
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * rate
            device = network.mean.device
            found, logits = network(components.to(device), evidence.to(device))
            loss, iou = localiser_loss(found, logits, boxes.to(device), weights.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum, iou_sum = loss_sum + loss.item(), iou_sum + iou.item()
    return loss_sum / n_batches, iou_sum / n_batches


Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Components (n, C, h, w), evidence (n, 1, h, w), target boxes (n, h, w, 4) and weights (n, h, w); of one
example the same without n."""


def _batches(examples: Sequence[tuple[Path, int]], config: LocaliserConfig, epoch: int) -> Iterator[Batch]:
    generator = torch.Generator().manual_seed(config.seed + epoch)
    order = torch.randperm(len(examples), generator=generator).tolist()
    mirrored = (torch.rand(len(examples), generator=generator) < 0.5).tolist()
    for start in range(0, len(order), config.batch_size):
        chosen = order[start : start + config.batch_size]
        yield _batch([_shown(read_example(*examples[each]), mirrored[each]) for each in chosen])


def _shown(example: Example, mirrored: bool) -> Batch:
    """Return an example as components, evidence, target boxes and weights, perhaps mirrored.

    The activations of a mirrored image are nearly the mirrored activations.
    """
    components, evidence = example.components.float(), example.evidence.float()
    boxes, weights = position_targets(example.boxes, example.weights, evidence)
    if mirrored:
        components, evidence, weights = components.flip(2), evidence.flip(1), weights.flip(1)
        x0, y0, x1, y1 = boxes.flip(1).unbind(2)
        last = evidence.shape[1] - 1
        boxes = torch.stack([last - x1, y0, last - x0, y1], dim=2)
    return components, evidence[None], boxes, weights


def _batch(shown: Sequence[Batch]) -> Batch:
    """Return examples as a batch; smaller ones are padded with positions of weight 0."""
    height, width = (max(each[3].shape[axis] for each in shown) for axis in (0, 1))

    def padded(part: Tensor, axes_after: int) -> Tensor:
        rows, columns = part.shape[part.ndim - 2 - axes_after :][:2]
        return functional.pad(part, (0, 0) * axes_after + (0, width - columns, 0, height - rows))

    components, evidence, boxes, weights = (
        torch.stack([padded(each[place], axes_after) for each in shown])
        for place, axes_after in enumerate((0, 0, 1, 0))
    )
    return components, evidence, boxes, weights
