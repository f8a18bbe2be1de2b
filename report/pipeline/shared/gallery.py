"""Pick the pictures of the gallery by rule, and gather the facts of their captions."""

from collections.abc import Sequence

import numpy as np

from dogcam.evaluate import errors as taxonomy
from dogcam.evaluate.breakdowns import size_of
from dogcam.structures.boxes import area
from report import record as results
from report.pipeline.context import Context
from report.pipeline.shared import cases

N_SUCCESSES = 4


class Gallery:
    """Picks pictures of the failures of one class.

    Args:
        context: with the images of the split.
        inputs: the class, its matches, and what else is annotated.
        score_threshold: of the operating point of the class.
    """

    def __init__(self, context: Context, inputs: cases.CaseInputs, score_threshold: float) -> None:
        self.context = context
        self.inputs = inputs
        self.matches = inputs.matches
        self.score_threshold = score_threshold

    def failures(self, failures: Sequence[taxonomy.Failure]) -> list[results.GalleryItem]:
        """Show the worst, the median and random ones of one failure type, at most one for each image."""
        ordered = _one_an_image(sorted(failures, key=self._severity))
        places = pick(len(ordered), self.context.config.per_type, self.context.config.seed)
        return [
            self._item(ordered[place].type, picked, number, ordered[place])
            for number, (place, picked) in enumerate(places)
        ]

    def successes(self, successes: Sequence[taxonomy.Success]) -> list[results.GalleryItem]:
        """Show the best, the median and random ones by IoU, at most one for each image."""
        ordered = _one_an_image(sorted(successes, key=lambda success: -success.iou))
        places = pick(len(ordered), N_SUCCESSES, self.context.config.seed)
        return [
            self._item("success", "best" if picked == "worst" else picked, number, ordered[place])
            for number, (place, picked) in enumerate(places)
        ]

    def _severity(self, failure: taxonomy.Failure) -> tuple:
        """Order failures: false positives by score, then missed objects by size."""
        if failure.score is not None:
            return (failure.subject != "detection", -failure.score)
        return (True, -area(self.matches.ground_truth.boxes)[failure.ground_truth or 0])

    def _item(
        self, failure_type: str, picked: str, number: int, case: taxonomy.Failure | taxonomy.Success
    ) -> results.GalleryItem:
        image = self.context.reported.images[case.image]
        failure = case if isinstance(case, taxonomy.Failure) else None
        name = f"gallery/{self.inputs.prefix}{failure_type}-{number}"
        share = self._share(case, image.height * image.width)
        return results.GalleryItem(
            image_id=image.id,
            target=self.inputs.target,
            score_threshold=self.score_threshold,
            type=failure_type,
            subject=failure.subject if failure else "detection",
            picked=picked,
            score=case.score,
            iou=case.iou if case.detection is not None else None,
            image_probability=float(self.inputs.probabilities[case.image]),
            n_merged=len(failure.held) if failure and failure.type == "merged" else None,
            n_truths=len(image.objects_of(self.inputs.target)),
            other_class=self._other_class(failure) if failure and failure_type == "other_object" else None,
            reason=(
                cases.miss_reason(self.inputs, failure, self.score_threshold)
                if failure and failure_type == "missed"
                else None
            ),
            top_score=cases.top_score(self.inputs, case.image),
            area=share,
            size=size_of(share),
            height=image.height,
            width=image.width,
            photo=f"{name}.webp",
            map=f"{name}-map.webp",
            composite=f"{name}-drawn.webp",
            boxes=self._boxes(case),
        )

    def _other_class(self, case: taxonomy.Failure) -> str | None:
        seen = self.inputs.seen_class(case.detection) if case.detection is not None else None
        return seen or case.other_class

    def _share(self, case: taxonomy.Failure | taxonomy.Success, n_pixels: int) -> float:
        """Return how much of the image the object takes up; without an object, the box."""
        truth, found = self.matches.ground_truth, self.matches.detections
        box = found.boxes[case.detection] if case.ground_truth is None else truth.boxes[case.ground_truth]
        return float(np.clip(area(box[None]) / n_pixels, 0, 1)[0])

    def _boxes(self, case: taxonomy.Failure | taxonomy.Success) -> list[results.GalleryBox]:
        truth, found = self.matches.ground_truth, self.matches.detections
        here = np.flatnonzero(found.image == case.image)
        kept = here[found.scores[here] >= self.score_threshold]
        missed = case.ground_truth if getattr(case, "subject", None) == "ground_truth" else None
        about = case.detection if missed is None else None
        boxes = [
            results.GalleryBox(
                xyxy=tuple(truth.boxes[index].tolist()), role="missed" if index == missed else "truth",
                label=self.inputs.target, score=None,
            )
            for index in np.flatnonzero(truth.image == case.image).tolist()
        ]  # fmt: skip
        boxes += [
            self._found(index, "detection" if index == about else "other")
            for index in sorted(kept, key=lambda index: index == about)
        ]
        if not len(kept) and len(here):
            boxes.append(self._found(int(here[np.argmax(found.scores[here])]), "below"))
        return boxes

    def _found(self, index: int, role: str) -> results.GalleryBox:
        found, score = self.matches.detections, float(self.matches.detections.scores[index])
        return results.GalleryBox(
            xyxy=tuple(found.boxes[index].tolist()), role=role, label=f"{score:.3f}", score=score
        )


def _one_an_image(cases: Sequence) -> list:
    """Keep the first case of each image."""
    first: dict[int, object] = {}
    for case in cases:
        first.setdefault(case.image, case)
    return list(first.values())


def pick(n_cases: int, n_wanted: int, seed: int) -> list[tuple[int, str]]:
    """Return places in an ordered list to show, with why: the first, the median, and random others."""
    picked = {0: "worst", n_cases // 2: "median"} if n_cases > 1 else dict.fromkeys(range(n_cases), "worst")
    picked = dict(list(picked.items())[:n_wanted])
    rest = [place for place in range(n_cases) if place not in picked]
    n_random = min(len(rest), n_wanted - len(picked))
    chosen = np.random.default_rng(seed).choice(rest, size=n_random, replace=False).tolist() if rest else []
    return [*picked.items(), *((place, "random") for place in sorted(chosen))]
