"""Time of Grad-CAM maps, relative to the forward pass.

The network is torchvision's ResNet-50 with random weights and calibrated batch normalisation; speed does not
depend on training. In a round, each contender runs once, in one process, on the same images, layer and class.
It is compared with the forward pass of that round. Memory is measured in a new process for each contender.

A further row is the time of the network's operations at the rate of a large matrix product, measured in the
same round. It is a lower bound in single precision.

The maps of every contender are compared with exact maps in double precision. With average pooling and a
linear head, the gradient of a logit is the weight of the head divided by the number of spatial positions.
Grad-CAM is then the positive part of CAM divided by that number.
"""

import copy
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import torch
import torchvision
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor, nn

from . import yardstick
from .contenders import CONTENDERS, LAYER, Contender, Subject
from .measure import Spread, cost_of, in_fresh_process, seconds_of, with_ends

PACKAGES = (
    "dogcam",
    "torch",
    "torchvision",
    "onnx",
    "onnxruntime",
    "openvino",
    "grad-cam",
    "torchcam",
    "captum",
)

N_CLASSES = 20
SEED = 7

MAX_DIFFERENCE = 1e-4
"""Largest rounding difference of maps divided by their peaks; another class or layer differs far more."""

RESIDUAL_SCALE = 0.2
"""Scale of the last normalisation of a block; at 1, rounding errors grow from block to block."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of the measurement.

    Args:
        network: of torchvision, a ResNet.
        batches: the numbers of images at once.
        side: of the images in pixels.
        rounds: how often each contender is timed.
        contenders: who is measured.
        memory_of: whose memory is measured too: a process each, most of it spent on imports.
        product: side of the matrices whose product is the yardstick.
    """

    network: str
    batches: tuple[int, ...]
    side: int
    rounds: int
    contenders: tuple[Contender, ...] = CONTENDERS
    memory_of: tuple[Contender, ...] = tuple(each for each in CONTENDERS if not each.compiles)
    product: int = yardstick.SIDE


FULL = Sizes("resnet50", (8, 16), side=224, rounds=5)
QUICK = Sizes(
    "resnet18", (2,), side=64, rounds=2,
    contenders=FULL.memory_of, memory_of=CONTENDERS[:2], product=yardstick.QUICK_SIDE,
)  # fmt: skip


def make_subject(sizes: Sizes, batch: int, cache: Path) -> Subject:
    """Build the network and the images from the seed."""
    torch.manual_seed(SEED)
    network = getattr(torchvision.models, sizes.network)(num_classes=N_CLASSES)
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            # The last one of a block, by its name in torchvision.
            if name.endswith("bn3" if sizes.network == "resnet50" else "bn2"):
                nn.init.constant_(module.weight, RESIDUAL_SCALE)
    with torch.no_grad():
        network.train()(torch.randn(8, 3, 128, 128))
    images, calibration = (torch.randn(n, 3, sizes.side, sizes.side) for n in (batch, 8))
    return Subject(network.eval(), images, calibration, cache)


@torch.inference_mode()
def exact_maps(subject: Subject) -> Tensor:
    """Return Grad-CAM of all classes in double precision: (N, C, h, w)."""
    double = copy.deepcopy(subject.network).double()
    features = nn.Sequential(*list(double.children())[:-2])  # without pooling and head
    maps = torch.einsum("nchw,kc->nkhw", features(subject.images.double()), double.fc.weight)
    return maps.relu() / maps[0, 0].numel()


def strongest_classes(exact: Tensor) -> list[int]:
    """Return the classes by descending strength; the map of the first is not empty."""
    return exact.amax(dim=(2, 3)).amin(dim=0).argsort(descending=True).tolist()


def map_difference(contender: Contender, maps: Tensor, exact: Tensor) -> float:
    """Return the largest difference from the exact maps, each map as a share of its peak.

    Raises:
        RuntimeError: if it exceeds rounding; for 8 bits, if it is not finite.
    """
    difference = (_of_peak(maps.double()) - _of_peak(exact)).abs().max().item()
    if not difference <= (MAX_DIFFERENCE if contender.rounding else 1):
        raise RuntimeError(f"the maps of {contender.name} differ from the closed form by {difference:.3g}")
    return difference


def _of_peak(maps: Tensor) -> Tensor:
    peak = maps.amax(dim=(2, 3), keepdim=True)
    return torch.where(peak == 0, 0, maps / peak)


@dataclass(frozen=True)
class Timings:
    """Results of one process, by contender: seconds of preparation and first run, seconds of each round, and
    the largest difference from the exact maps."""

    n_threads: int
    preparation: dict[str, float]
    seconds: dict[str, list[float]]
    differences: dict[str, float]


def time_contenders(sizes: Sizes, batch: int, cache: Path) -> Timings:
    """Time all contenders in several rounds, after a round of warm-up that checks the maps."""
    subject = make_subject(sizes, batch, cache)
    exact = exact_maps(subject)
    order = strongest_classes(exact)
    works, differences, preparation = {}, {}, {}
    for contender in sizes.contenders:
        targets = order[: contender.n_classes]

        def first_run(contender: Contender = contender, targets: Sequence[int] = targets) -> None:
            work = contender.prepare(subject)
            maps = contender.read(work(subject.images, targets), targets)
            works[contender.name] = partial(work, subject.images, targets)
            if maps is not None:
                differences[contender.name] = map_difference(contender, maps, exact[:, targets])

        preparation[contender.name] = seconds_of(first_run)
    product = yardstick.Yardstick(yardstick.operations(subject.network, subject.images), sizes.product)
    seconds: dict[str, list[float]] = {name: [] for name in (*works, yardstick.NAME)}
    for _ in range(sizes.rounds):
        for name, work in works.items():
            seconds[name].append(seconds_of(work))
        seconds[yardstick.NAME].append(product.seconds())
    return Timings(torch.get_num_threads(), preparation, seconds, differences)


def memory_growth(contender: Contender, sizes: Sizes, batch: int, cache: Path) -> float | None:
    """Return the peak growth of memory of one contender in MiB."""
    targets = range(contender.n_classes)
    subject = make_subject(sizes, batch, cache)
    work = contender.prepare(subject)
    if contender.any_size:
        # A small image first: code that is loaded at first use does not count.
        work(subject.images[:1, :, :32, :32], targets)
    _, cost = cost_of(lambda: work(subject.images, targets))
    return cost.memory_growth_mib


def measure(quick: bool) -> list[dict[str, object]]:
    """Return a row for each contender and batch."""
    sizes = QUICK if quick else FULL
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        for batch in sizes.batches:
            click.echo(f"batch {batch}: {sizes.rounds} rounds, then the memory of each contender", err=True)
            timings = in_fresh_process(time_contenders, sizes, batch, cache)
            for contender in sizes.contenders:
                measured = contender in sizes.memory_of
                growth = in_fresh_process(memory_growth, contender, sizes, batch, cache) if measured else None
                row = _row(contender.name, contender.n_classes, batch, sizes, timings)
                rows.append(row | {"memory_growth_mib": growth})
            rows.append(_row(yardstick.NAME, 0, batch, sizes, timings) | {"memory_growth_mib": None})
    return rows


def _row(name: str, n_classes: int, batch: int, sizes: Sizes, timings: Timings) -> dict[str, object]:
    seconds, baseline = timings.seconds[name], timings.seconds[CONTENDERS[0].name]
    ratios = [other / one for one, other in zip(seconds, baseline, strict=True)]
    return {
        "name": name,
        "network": sizes.network,
        "layer": LAYER,
        "n_classes": n_classes,
        "batch": batch,
        "side_px": sizes.side,
        "n_threads": timings.n_threads,
        "rounds": sizes.rounds,
        "preparation_seconds": timings.preparation.get(name),
        **Spread.of([batch / value for value in seconds]).fields("images_per_second"),
        **Spread.of(ratios).fields("ratio_to_forward"),
        "max_map_difference": timings.differences.get(name),
    }


def table(rows: Sequence[dict[str, object]]) -> Table:
    """Return the rows for the terminal."""
    printed = Table(title="Grad-CAM of a ResNet; median (least - most)", title_justify="left")
    printed.add_column("name")
    for heading in ("batch", "images/s", "speed, times forward", "memory growth, MiB", "map difference"):
        printed.add_column(heading, justify="right")
    for row in rows:
        growth, difference = row["memory_growth_mib"], row["max_map_difference"]
        printed.add_row(
            row["name"],
            str(row["batch"]),
            with_ends(row, "images_per_second", ".1f"),
            with_ends(row, "ratio_to_forward", ".3f"),
            "" if growth is None else f"{growth:,.0f}",
            "" if difference is None else f"{difference:.1e}",
        )
    return printed


def figure(rows: Sequence[dict[str, object]]) -> Figure:
    """Draw speed and memory of each contender, a row of panels for each batch; whiskers span all rounds."""
    batches = sorted({row["batch"] for row in rows})
    drawn = Figure(figsize=(11, 4.2 * len(batches)), layout="constrained")
    for axes, batch in zip(drawn.subplots(len(batches), 2, squeeze=False), batches, strict=True):
        shown = [row for row in rows if row["batch"] == batch][::-1]
        names, medians = [row["name"] for row in shown], [row["ratio_to_forward"] for row in shown]
        ends = [
            [abs(row["ratio_to_forward"] - row[f"ratio_to_forward_{end}"]) for row in shown]
            for end in ("min", "max")
        ]
        axes[0].barh(names, medians, xerr=ends, color="#0072b2", ecolor="#444444")
        axes[0].axvline(1, color="#444444", linewidth=0.8)
        axes[0].set_xlabel(f"speed, times the plain forward pass (batch {batch})")
        # No bar for a missing measurement: a bar of length 0 would state that no memory is needed.
        growths = [row["memory_growth_mib"] for row in shown]
        axes[1].barh(names, [math.nan if each is None else each for each in growths], color="#e69f00")
        axes[1].set_xlabel("growth of memory at the peak, MiB")
        axes[1].tick_params(labelleft=False)
    return drawn
