"""Run the sanity checks: permuted weights, permuted labels, deletion and insertion, and the centre box."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from dogcam.evaluate import sanity
from dogcam.evaluate.metrics import Estimate, estimate, undefined
from dogcam.structures.images import LabelledImage
from report import record as results
from report.pipeline.context import Context
from report.pipeline.engines import apply, sent
from report.pipeline.methods import MAIN
from report.pipeline.shared.boxes import best_ious
from report.pipeline.shared.estimates import over_images, resampler_of
from report.pipeline.shared.predictions import predictions
from report.pipeline.shared.sanity_work import Activation, Erasure, Pooling, Randomisation, Work, do

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
    depths: list[results.SanityDepth] = []
    curves: list[results.InsertionDeletionCurve] = []
    checks: list[results.SanityCheck] = []
    fitted = None
    if places:
        batch = context.input_of([context.reported.images[place] for place in places])
        layers = sanity.layers_as_they_run(context.classifier.network, batch[:1])
        refit = _Refit.draw(context, rng)
        images, blank = batch.cpu().numpy(), sanity.blurred(batch).cpu().numpy()
        erased, randomised, pooled = _passes(
            context,
            list(_erasures(context, images, blank, trained, rng)),
            [Randomisation(context.target, images, layers, _counts(layers), seed)
             for seed in range(context.config.seed, context.config.seed + N_DRAWS)],
            list(_activations(context, refit, images)) if refit else [],
        )  # fmt: skip
        depths = _cascade(context, layers, trained, randomised)
        fitted = _permuted(context, refit, trained, pooled) if refit else None
        curves, checks = _erasing(context, np.stack(erased))
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


def _passes(context: Context, *works: Sequence[Work]) -> list[list]:
    """Run the network for several lists of work, and return a list of results for each.

    The lists are submitted together: a worker that has finished one continues with the next.
    """
    together = list(chain(*works))
    found = apply(context.engine, context.classifier, do, together)
    results_of_all = iter(list(context.progress.track(found, len(together), "run the network again")))
    return [list(islice(results_of_all, len(each))) for each in works]


def _draw(rng: np.random.Generator, places: list[int], n_most: int) -> list[int]:
    """Return at most so many of the places, drawn at random, in their order."""
    return sorted(rng.choice(places, size=min(n_most, len(places)), replace=False).tolist()) if places else []


def _counts(layers: Sequence[str]) -> list[int]:
    """Return the numbers of layers that are randomised, from the last one alone to all."""
    return sorted({int(count) for count in np.linspace(1, len(layers), N_DEPTHS).round()})


def _cascade(
    context: Context, layers: list[str], trained: Maps, randomised: Sequence[Sequence[Maps]]
) -> list[results.SanityDepth]:
    """Compare the maps of each depth of every draw with the original ones."""
    pairs = list(zip(_counts(layers), zip(*randomised, strict=True), strict=True))
    return [
        _depth(context, layers, count, trained, list(found))
        for count, found in context.progress.track(pairs, len(pairs), "compare with the original maps")
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


@dataclass(frozen=True)
class _Refit:
    """What heads are fitted to: images of the tuning split, and the labels of each fit.

    Attributes:
        images: those with the target, then those without.
        n_with: how many have it.
        labels: the true labels, then permutations of them.
    """

    images: list[LabelledImage]
    n_with: int
    labels: list[NDArray[np.bool_]]

    @classmethod
    def draw(cls, context: Context, rng: np.random.Generator) -> "_Refit | None":
        """Draw images and permutations; None without images of both sorts."""
        images = context.tuning.images if context.tuning else ()
        chosen = [
            _draw(rng, [i for i, image in enumerate(images) if context.has_target(image) == wanted], N_FIT)
            for wanted in (True, False)
        ]
        if not all(chosen):
            return None
        places = [*chosen[0], *chosen[1]]
        labels = np.arange(len(places)) < len(chosen[0])
        tried = [labels, *(rng.permutation(labels) for _ in range(N_PERMUTATIONS))]
        return cls([images[place] for place in places], len(chosen[0]), tried)


def _activations(context: Context, refit: _Refit, batch: NDArray[np.float32]) -> Iterator[Work]:
    """Yield the work of the refitted heads: the activations of the images, and pooled ones to fit them."""
    yield Activation(batch)
    for part in context.in_batches(refit.images):
        yield Pooling(sent(context.engine, part))


def _permuted(
    context: Context, refit: _Refit, trained: Maps, found: Sequence[Maps]
) -> results.PermutedLabels:
    """Fit a linear head to the true labels of tuning images, and others to permuted ones."""
    activations, pooled = found[0], np.concatenate(found[1:])
    maps = [
        sanity.maps_of(activations, sanity.fit_linear_map(pooled, each))
        for each in context.progress.track(refit.labels, len(refit.labels), "fit heads")
    ]
    return results.PermutedLabels(
        n_with=refit.n_with,
        n_without=len(refit.images) - refit.n_with,
        n_permutations=N_PERMUTATIONS,
        spearman_true=_mean(context, _similarities(sanity.spearman, trained, maps[:1])),
        spearman=_mean(context, _similarities(sanity.spearman, trained, maps[1:])),
        n_empty=sum(not map_.any() for each in maps[1:] for map_ in each),
    )


def _erasures(
    context: Context, images: Maps, blank: Maps, trained: Maps, rng: np.random.Generator
) -> Iterator[Work]:
    """Yield the deletion and insertion of each image in all orders."""
    for image, blurred, map_ in zip(images, blank, trained, strict=True):
        orders = sanity.removal_orders(map_, (image.shape[1], image.shape[2]), rng)
        yield Erasure(
            context.target, image, blurred, [orders[order] for order in sanity.ORDERS], FRACTIONS,
            context.config.batch_size,
        )  # fmt: skip


def _erasing(
    context: Context, values: NDArray[np.float64]
) -> tuple[list[results.InsertionDeletionCurve], list[results.SanityCheck]]:
    """Summarise the probability of each image, by order, way (deletion, insertion) and fraction."""
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
