"""Run the sanity checks: permuted weights, permuted labels, deletion and insertion, and the centre box."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from dogcam.cam import explain
from dogcam.evaluate import sanity
from dogcam.evaluate.metrics import Estimate, estimate, undefined
from report import record as results
from report.pipeline.context import Context
from report.pipeline.methods import MAIN, requests
from report.pipeline.shared.boxes import best_ious
from report.pipeline.shared.estimates import over_images, resampler_of
from report.pipeline.shared.predictions import predictions

NAME = "sanity"

N_IMAGES = 20
N_DRAWS = 3
N_DEPTHS = 6
N_PERMUTATIONS = 5
N_FIT = 100
"""The most images of each sort, with and without the target, that the heads are fitted to."""

FRACTIONS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
"""Shares of the pixels that are deleted or inserted; denser where the map is high."""

Maps = NDArray[np.float32]


def run(context: Context) -> dict:
    """Run all checks on the same random images with a target and a map that is not zero."""
    rng = np.random.default_rng(context.config.seed)
    maps = predictions(context, "reported").maps[MAIN]
    places = _draw(rng, [i for i, image in enumerate(context.reported.images)
                         if context.has_target(image) and maps[i].any()], N_IMAGES)  # fmt: skip
    trained = maps[places]
    batch = context.input_of([context.reported.images[place] for place in places]) if places else None
    depths: list[results.SanityDepth] = []
    curves: list[results.InsertionDeletionCurve] = []
    checks: list[results.SanityCheck] = []
    fitted = None
    if batch is not None:
        depths = _cascade(context, batch, trained)
        fitted = _permuted(context, batch, trained, rng)
        curves, checks = _erasing(context, batch, trained, rng)
    floor = [best_ious(context, method) for method in (MAIN, "centerbox")]
    unknown = Estimate(None, undefined(context.config.confidence_level))
    best_box, centre_box, gain = (_mean(context, each) for each in (*floor, floor[0] - floor[1]))
    checks = [
        _check("randomised_spearman", depths[-1].spearman if depths else unknown, "within"),
        _check("randomised_ssim", depths[-1].ssim if depths else unknown, "within"),
        *([_check("permuted_spearman", fitted.spearman, "within")] if fitted else []),
        *checks,
        _check("centre_box", gain, "above"),
    ]
    return results.Sanity(
        n_images=len(places), n_draws=N_DRAWS, seed=context.config.seed, depths=depths, permuted=fitted,
        fractions=list(FRACTIONS), curves=curves, centre_box=centre_box, best_box=best_box, checks=checks,
        n_checks=len(checks), n_failed=sum(check.passed is False for check in checks),
        n_undefined=sum(check.passed is None for check in checks),
    ).model_dump(mode="json")  # fmt: skip


def _draw(rng: np.random.Generator, places: list[int], n_most: int) -> list[int]:
    """Return at most so many of the places, drawn at random, in their order."""
    return sorted(rng.choice(places, size=min(n_most, len(places)), replace=False).tolist()) if places else []


def _cascade(context: Context, batch: torch.Tensor, trained: Maps) -> list[results.SanityDepth]:
    network = context.classifier.network
    layers = sanity.layers_as_they_run(network, batch[:1])
    counts = sorted({int(count) for count in np.linspace(1, len(layers), N_DEPTHS).round()})
    request = requests(context.classifier)[MAIN]
    measured: list[list[Maps]] = [[] for _ in counts]
    draws = context.progress.track(range(N_DRAWS), N_DRAWS, "randomise")
    for draw in draws:
        cascade, done = sanity.Cascade(network, layers, context.config.seed + draw), 0
        for found, count in zip(measured, counts, strict=True):
            cascade.randomise(count - done)
            done = count
            maps = explain(cascade.network, batch, [context.target], [request]).maps[0]
            found.append(maps[:, 0].cpu().numpy())
    pairs = zip(counts, measured, strict=True)
    return [
        _depth(context, layers, count, trained, found)
        for count, found in context.progress.track(pairs, len(counts), "compare with the original maps")
    ]


def share_of_parameters(context: Context, layers: list[str], count: int) -> float:
    """Return the share of the network's parameters in its last `count` layers."""
    modules = dict(context.classifier.network.named_modules())
    weights = {
        id(weight): weight.numel()
        for name in layers[-count:]
        for weight in modules[name].parameters(recurse=False)
    }
    return sum(weights.values()) / context.classifier.n_parameters


def _depth(
    context: Context, layers: list[str], count: int, trained: Maps, found: list[Maps]
) -> results.SanityDepth:
    return results.SanityDepth(
        layer=layers[-count],
        n_layers=count,
        share_of_parameters=share_of_parameters(context, layers, count),
        spearman=_mean(context, _similarities(sanity.spearman, trained, found)),
        ssim=_mean(context, _similarities(sanity.ssim, trained, found)),
        n_maps=sum(len(maps) for maps in found),
        n_empty=sum(not map_.any() for maps in found for map_ in maps),
    )


def _permuted(
    context: Context, batch: torch.Tensor, trained: Maps, rng: np.random.Generator
) -> results.PermutedLabels | None:
    """Fit a linear head to the true labels of tuning images, and others to permuted ones."""
    images = context.tuning.images if context.tuning else ()
    chosen = [
        _draw(rng, [i for i, image in enumerate(images) if context.has_target(image) == wanted], N_FIT)
        for wanted in (True, False)
    ]
    if not all(chosen):
        return None
    classifier, size = context.classifier, context.config.batch_size
    places = [*chosen[0], *chosen[1]]
    starts = context.progress.track(range(0, len(places), size), len(places), "refit the head", size)
    batches = (
        context.input_of([images[place] for place in places[start : start + size]]) for start in starts
    )
    layer = classifier.target_layer
    pooled = sanity.activation_maps(classifier.network, batches, layer, pooled=True)
    activations = sanity.activation_maps(classifier.network, [batch], layer, pooled=False)
    labels = np.arange(len(places)) < len(chosen[0])
    tried = [labels, *(rng.permutation(labels) for _ in range(N_PERMUTATIONS))]
    maps = [
        sanity.maps_of(activations, sanity.fit_linear_map(pooled, each))
        for each in context.progress.track(tried, len(tried), "fit heads")
    ]
    return results.PermutedLabels(
        n_with=len(chosen[0]),
        n_without=len(chosen[1]),
        n_permutations=N_PERMUTATIONS,
        spearman_true=_mean(context, _similarities(sanity.spearman, trained, maps[:1])),
        spearman=_mean(context, _similarities(sanity.spearman, trained, maps[1:])),
        n_empty=sum(not map_.any() for each in maps[1:] for map_ in each),
    )


def _erasing(
    context: Context, batch: torch.Tensor, trained: Maps, rng: np.random.Generator
) -> tuple[list[results.InsertionDeletionCurve], list[results.SanityCheck]]:
    network, blank = context.classifier.network, sanity.blurred(batch)
    probabilities = context.classifier.probabilities
    # For each image, order, and way (deletion, insertion): the probability at each fraction.
    values = np.zeros((len(batch), len(sanity.ORDERS), 2, len(FRACTIONS)))
    for i in context.progress.track(range(len(batch)), len(batch), "erase"):
        orders = sanity.removal_orders(trained[i], (batch.shape[2], batch.shape[3]), rng)
        values[i] = sanity.probabilities_during(
            network, probabilities, batch[i], blank[i], [orders[order] for order in sanity.ORDERS],
            context.target, FRACTIONS, context.config.batch_size,
        )  # fmt: skip
    areas = sanity.auc(values, FRACTIONS)
    means = values.mean(axis=0)
    curves = [
        results.InsertionDeletionCurve(
            order=order,
            deletion=means[j, 0].tolist(),
            insertion=means[j, 1].tolist(),
            deletion_auc=_mean(context, areas[:, j, 0]),
            insertion_auc=_mean(context, areas[:, j, 1]),
        )
        for j, order in enumerate(sanity.ORDERS)
    ]
    gains = {"deletion": areas[:, :, 0] - areas[:, :1, 0], "insertion": areas[:, :1, 1] - areas[:, :, 1]}
    return curves, [
        _check(f"{way}_{order}", _mean(context, gain[:, j]), "above")
        for way, gain in gains.items()
        for j, order in enumerate(sanity.ORDERS)
        if order != "map"
    ]


def _similarities(
    measure: Callable[[NDArray, NDArray], float], trained: Maps, found: list[Maps]
) -> NDArray[np.float64]:
    """Return the similarity of each map to the trained network's: (draws, images) floats, nan for none."""
    return np.array([[measure(*pair) for pair in zip(trained, maps, strict=True)] for maps in found])


def _mean(context: Context, values: NDArray[np.float64]) -> Estimate:
    """Return the mean of what is defined, with its interval over images: (images,) or (draws, images)."""
    rows = np.atleast_2d(values)
    defined = ~np.isnan(rows)
    part, whole = np.where(defined, rows, 0.0).sum(axis=0), defined.sum(axis=0)
    mean = part.sum() / whole.sum() if whole.any() else float("nan")
    found = replace(resampler_of(context), n_images=len(part)).ratio(part, whole)
    return estimate(mean, over_images(int(np.count_nonzero(whole)), found))


def _check(name: str, value: Estimate, rule: str) -> results.SanityCheck:
    limit = sanity.MOST_SIMILARITY if rule == "within" else sanity.LEAST_DIFFERENCE
    passed = None
    interval = value.interval
    if interval is not None and interval.low is not None and interval.high is not None:
        # An inverted map is as similar as the map itself: the limit holds for both signs.
        passed = -limit < interval.low and interval.high < limit if rule == "within" else interval.low > limit
    return results.SanityCheck(name=name, value=value, rule=rule, limit=limit, passed=passed)
