"""How long maps take, beside the forward pass that no map can do without.

The network is torchvision's ResNet-50 with random weights: what is computed does not depend on what it has
learned. In a round each contender runs once, all in one process, and is compared with the forward pass of the
same round; memory is measured in a fresh process for each.

Every contender's maps are compared with the closed form that holds for this network, in double precision:
with average pooling and a linear head the gradient of a logit is the head's weights over the number of
places, so Grad-CAM is the positive part of CAM divided by that number.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import click
import torch
from rich.table import Table
from torch import Tensor, nn

from dogcam.architectures import find_architecture
from dogcam.cam import cam, grad_cam

from .measure import Spread, cost_of, in_fresh_process, seconds_of

PACKAGES = ("dogcam", "torch", "torchvision")

N_CLASSES = 20
SEED = 7

MAX_DIFFERENCE = 1e-3
"""Single precision through 50 layers stays far below it; a map of another class or layer does not."""


@dataclass(frozen=True)
class Contender:
    """Something that is timed.

    Args:
        name: of the implementation and what it is asked for.
        method: `forward`, `grad_cam` or `cam`: what its maps are compared with.
        n_classes: how many classes are explained at once, K.
        maps: network, images and the K targets -> (N, K, h, w) maps, or None from a plain forward pass.
        layout: in which order weights and images lie in memory; dogcam's classifiers store channels last.
    """

    name: str
    method: str
    n_classes: int
    maps: Callable[[nn.Module, Tensor, Sequence[int]], Tensor | None]
    layout: torch.memory_format = torch.channels_last


def forward(network: nn.Module, images: Tensor, _targets: Sequence[int]) -> None:
    """Run the network for its logits alone, the fastest way that torch offers without other kernels."""
    with torch.inference_mode():
        network(images)


def dogcam_grad_cam(network: nn.Module, images: Tensor, targets: Sequence[int]) -> Tensor:
    """Make Grad-CAM maps of the last stage."""
    return grad_cam(network, images, targets, "layer4")


def dogcam_cam(network: nn.Module, images: Tensor, targets: Sequence[int]) -> Tensor:
    """Make CAM maps of the last stage."""
    return cam(network, images, targets, "layer4", "fc")


CONTENDERS = (
    Contender("forward", "forward", 0, forward, torch.contiguous_format),
    Contender("forward_channels_last", "forward", 0, forward),
    Contender("dogcam_torch", "grad_cam", 1, dogcam_grad_cam),
    Contender("dogcam_torch_20_classes", "grad_cam", 20, dogcam_grad_cam),
    Contender("dogcam_torch_cam", "cam", 1, dogcam_cam),
    Contender("dogcam_torch_cam_20_classes", "cam", 20, dogcam_cam),
)
"""Who is measured; the first is the one that all are compared with."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Args:
        batches: the numbers of images at once.
        side: of the images in pixels.
        rounds: how often each contender is timed.
        memory_of: the contenders whose memory is measured too: a process each, most of it spent on imports.
    """

    batches: tuple[int, ...]
    side: int
    rounds: int
    memory_of: tuple[Contender, ...] = CONTENDERS


FULL = Sizes((8, 16), side=224, rounds=9)
QUICK = Sizes((2,), side=64, rounds=2, memory_of=CONTENDERS[:2])


def network_and_images(
    batch: int, side: int, layout: torch.memory_format
) -> tuple[nn.Module, Tensor]:
    """Build the network and the images from the seed."""
    torch.manual_seed(SEED)
    network = find_architecture("resnet50").build([str(number) for number in range(N_CLASSES)], False).eval()
    images = torch.randn(batch, 3, side, side)
    return network.to(memory_format=layout), images.to(memory_format=layout)


@torch.inference_mode()
def exact_cam(network: nn.Module, images: Tensor) -> Tensor:
    """Return CAM of all classes in double precision: (N, C, h, w)."""
    double = copy.deepcopy(network).double()
    features = nn.Sequential(*list(double.children())[:-2])  # all but the pooling and the head
    return torch.einsum("nchw,kc->nkhw", features(images.double()), double.fc.weight)


def strongest_classes(exact: Tensor) -> list[int]:
    """Return the classes, the strongest first: the first one's Grad-CAM is not all 0."""
    return exact.mean(dim=(0, 2, 3)).argsort(descending=True).tolist()


def map_difference(contender: Contender, maps: Tensor, exact: Tensor) -> float:
    """Return the largest difference from the exact maps, as a share of their largest value.

    Raises:
        RuntimeError: where it is no rounding error.
    """
    expected = exact if contender.method == "cam" else exact.relu() / exact[0, 0].numel()
    difference = ((maps - expected).abs().max() / expected.abs().max()).item()
    if not difference <= MAX_DIFFERENCE:
        raise RuntimeError(f"the maps of {contender.name} differ from the closed form by {difference:.3g}")
    return difference


@dataclass(frozen=True)
class Timings:
    """What one process measured: seconds by contender and round, and how far maps are from the exact ones."""

    n_threads: int
    seconds: dict[str, list[float]]
    differences: dict[str, float]


def time_contenders(batch: int, side: int, rounds: int) -> Timings:
    """Time all contenders in turn, round after round, after a round that warms up and checks the maps."""
    given = {each.layout: network_and_images(batch, side, each.layout) for each in CONTENDERS}
    exact = exact_cam(*given[torch.contiguous_format])
    order = strongest_classes(exact)
    differences = {}
    for contender in CONTENDERS:
        targets = order[: contender.n_classes]
        maps = contender.maps(*given[contender.layout], targets)
        if maps is not None:
            differences[contender.name] = map_difference(contender, maps, exact[:, targets])
    seconds: dict[str, list[float]] = {contender.name: [] for contender in CONTENDERS}
    for _ in range(rounds):
        for contender in CONTENDERS:
            targets = order[: contender.n_classes]
            work = partial(contender.maps, *given[contender.layout], targets)
            seconds[contender.name].append(seconds_of(work))
    return Timings(torch.get_num_threads(), seconds, differences)


def memory_growth(contender: Contender, batch: int, side: int) -> float | None:
    """Return the growth of the memory in MiB at the peak of one contender's work."""
    network, images = network_and_images(batch, side, contender.layout)
    targets = range(contender.n_classes)
    # A small image first, so that code that is loaded at its first use does not count.
    contender.maps(network, images[:1, :, :32, :32], targets)
    _, cost = cost_of(lambda: contender.maps(network, images, targets))
    return cost.memory_growth_mib


def measure(quick: bool) -> list[dict[str, object]]:
    """Return a row for each contender and batch."""
    sizes = QUICK if quick else FULL
    rows = []
    for batch in sizes.batches:
        click.echo(f"batch {batch}: {sizes.rounds} rounds, then the memory of each contender", err=True)
        timings = in_fresh_process(time_contenders, batch, sizes.side, sizes.rounds)
        for contender in CONTENDERS:
            measured = contender in sizes.memory_of
            growth = in_fresh_process(memory_growth, contender, batch, sizes.side) if measured else None
            rows.append(_row(contender, batch, sizes, timings) | {"memory_growth_mib": growth})
    return rows


def _row(contender: Contender, batch: int, sizes: Sizes, timings: Timings) -> dict[str, object]:
    seconds, baseline = timings.seconds[contender.name], timings.seconds[CONTENDERS[0].name]
    ratios = [other / one for one, other in zip(seconds, baseline, strict=True)]
    return {
        "name": contender.name,
        "method": contender.method,
        "n_classes": contender.n_classes,
        "batch": batch,
        "side_px": sizes.side,
        "n_threads": timings.n_threads,
        "rounds": sizes.rounds,
        **Spread.of([batch / value for value in seconds]).fields("images_per_second"),
        **Spread.of(ratios).fields("ratio_to_forward"),
        "max_map_difference": timings.differences.get(contender.name),
    }


def table(rows: Sequence[dict[str, object]]) -> Table:
    """Return the rows for the terminal."""
    printed = Table(title="ResNet-50, float32; median (least - most)", title_justify="left")
    printed.add_column("name")
    for heading in ("batch", "images/s", "speed, times forward", "memory growth, MiB", "map difference"):
        printed.add_column(heading, justify="right")
    for row in rows:
        growth, difference = row["memory_growth_mib"], row["max_map_difference"]
        printed.add_row(
            row["name"],
            str(row["batch"]),
            _with_ends(row, "images_per_second", ".1f"),
            _with_ends(row, "ratio_to_forward", ".3f"),
            "unknown" if growth is None else f"{growth:,.0f}",
            "" if difference is None else f"{difference:.1e}",
        )
    return printed


def _with_ends(row: dict[str, object], key: str, form: str) -> str:
    return f"{row[key]:{form}} ({row[f'{key}_min']:{form}} - {row[f'{key}_max']:{form}})"
