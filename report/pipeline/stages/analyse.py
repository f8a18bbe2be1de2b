"""Say why boxes failed at the operating point, and pick by rule what the gallery shows of each kind."""

from collections.abc import Sequence

import numpy as np

from dogcam.evaluate import errors as taxonomy
from dogcam.evaluate import metrics
from dogcam.evaluate.breakdowns import SIZES, size_of
from dogcam.evaluate.errors import OtherObjects
from dogcam.evaluate.metrics import Matches
from dogcam.structures.boxes import area
from report import record as results
from report.pipeline.shared.estimates import resampler_of
from report.pipeline.stages import evaluate, localise, predict
from report.pipeline.stages.context import Context
from report.pipeline.stages.methods import MAIN

NAME = "analyse"

N_SUCCESSES = 4


def run(context: Context) -> dict:
    """Classify every failure of the main method and pick the gallery."""
    point = context.outputs[evaluate.NAME]["operating_point"]
    iou, score_threshold = point["iou"], point["score_threshold"]
    matches = metrics.match(
        localise.ground_truth(context.reported, context.config.target),
        localise.detections(context, "reported", MAIN),
        [iou],
    )
    at_point = {"iou_threshold": iou, "score_threshold": score_threshold}
    failures = taxonomy.classify_failures(matches, **at_point, others=_others(context))
    gains = taxonomy.ap_gains(matches, failures, **at_point, resampler=resampler_of(context))
    successes = taxonomy.find_successes(matches, **at_point)
    gallery = _Gallery(context, matches, score_threshold)
    return results.Failures(
        n_success=len(successes),
        kinds=[
            results.FailureTypeResult(
                kind=count.kind,
                n_detections=count.n_detections,
                n_missed=count.n_missed,
                ap_gain=gain.ap,
                items=gallery.failures([each for each in failures if each.kind == count.kind]),
            )
            for count, gain in zip(taxonomy.count_types(failures), gains, strict=True)
        ],
        successes=gallery.successes(successes),
        size_edges=tuple(SIZES.values())[1:],
        per_kind=context.config.per_kind,
        seed=context.config.seed,
    ).model_dump(mode="json")


def _others(context: Context) -> OtherObjects:
    """Return what else is annotated in the images of the test split."""
    others = [
        [thing for thing in image.objects if thing.name != context.config.target]
        for image in context.reported.images
    ]
    return OtherObjects.from_images(
        [[thing.box for thing in things] for things in others],
        [[thing.name for thing in things] for things in others],
    )


class _Gallery:
    """Picks pictures by rule and gathers the facts of their captions."""

    def __init__(self, context: Context, matches: Matches, score_threshold: float) -> None:
        self.context = context
        self.matches = matches
        self.score_threshold = score_threshold
        self.probabilities = predict.load(context, "reported").probabilities(context.target)

    def failures(self, failures: Sequence[taxonomy.Failure]) -> list[results.GalleryItem]:
        """Show the worst, the median and random ones of one kind, at most one for each image."""
        ordered = _one_an_image(sorted(failures, key=self._severity))
        places = _pick(len(ordered), self.context.config.per_kind, self.context.config.seed)
        return [
            self._item(ordered[place].kind, picked, number, ordered[place])
            for number, (place, picked) in enumerate(places)
        ]

    def successes(self, successes: Sequence[taxonomy.Success]) -> list[results.GalleryItem]:
        """Show the best, the median and random ones by IoU, at most one for each image."""
        ordered = _one_an_image(sorted(successes, key=lambda success: -success.iou))
        places = _pick(len(ordered), N_SUCCESSES, self.context.config.seed)
        return [
            self._item("success", "best" if picked == "worst" else picked, number, ordered[place])
            for number, (place, picked) in enumerate(places)
        ]

    def _severity(self, failure: taxonomy.Failure) -> tuple:
        """Order failures: the surest wrong boxes first; without a box, the largest missed objects first."""
        if failure.score is not None:
            return (failure.subject != "detection", -failure.score)
        return (True, -area(self.matches.ground_truth.boxes[[failure.ground_truth]])[0])

    def _item(
        self, kind: str, picked: str, number: int, case: taxonomy.Failure | taxonomy.Success
    ) -> results.GalleryItem:
        image = self.context.reported.images[case.image]
        name = f"gallery/{kind}-{number}"
        share = self._share(case, image.height * image.width)
        return results.GalleryItem(
            image_id=image.id,
            kind=kind,
            subject="detection" if kind == "success" else case.subject,
            picked=picked,
            score=case.score,
            iou=case.iou if case.detection is not None else None,
            image_probability=float(self.probabilities[case.image]),
            n_truths=len(image.objects_of(self.context.config.target)),
            other_class=None if kind == "success" else case.other_class,
            area=share,
            size=size_of(share),
            height=image.height,
            width=image.width,
            photo=f"{name}.webp",
            map=f"{name}-map.webp",
            composite=f"{name}-drawn.webp",
            boxes=self._boxes(case),
        )

    def _share(self, case: taxonomy.Failure | taxonomy.Success, n_pixels: int) -> float:
        """Return how much of the image the object takes up, or the box where it speaks of no object."""
        truth, found = self.matches.ground_truth, self.matches.detections
        box = found.boxes[case.detection] if case.ground_truth is None else truth.boxes[case.ground_truth]
        return float(np.clip(area(box[None]) / n_pixels, 0, 1)[0])

    def _boxes(self, case: taxonomy.Failure | taxonomy.Success) -> list[results.GalleryBox]:
        truth, found = self.matches.ground_truth, self.matches.detections
        kept = np.flatnonzero((found.image == case.image) & (found.scores >= self.score_threshold))
        truths = [
            results.GalleryBox(xyxy=tuple(box), role="truth", label=self.context.config.target, score=None)
            for box in truth.boxes[truth.image == case.image].tolist()
        ]
        return truths + [
            results.GalleryBox(
                xyxy=tuple(found.boxes[index].tolist()),
                role="detection" if index == case.detection else "other",
                label=f"{found.scores[index]:.2f}",
                score=float(found.scores[index]),
            )
            for index in sorted(kept, key=lambda index: index == case.detection)
        ]


def _one_an_image(cases: Sequence) -> list:
    """Keep the first case of each image."""
    first: dict[int, object] = {}
    for case in cases:
        first.setdefault(case.image, case)
    return list(first.values())


def _pick(n_cases: int, n_wanted: int, seed: int) -> list[tuple[int, str]]:
    """Return places in an ordered list to show, with why: the first, the middle one, and random others."""
    picked = {0: "worst", n_cases // 2: "median"} if n_cases > 1 else dict.fromkeys(range(n_cases), "worst")
    picked = dict(list(picked.items())[:n_wanted])
    rest = [place for place in range(n_cases) if place not in picked]
    n_random = min(len(rest), n_wanted - len(picked))
    chosen = np.random.default_rng(seed).choice(rest, size=n_random, replace=False) if n_random else []
    return [*picked.items(), *((int(place), "random") for place in sorted(chosen))]
