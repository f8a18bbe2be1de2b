"""A run on photographs without annotations: boxes, maps and pictures; nothing is measured."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from dogcam.cam import GradCam
from dogcam.data.formats import image_folder, recognise
from dogcam.data.images import read_pixels
from dogcam.data.reading import read_split, split_names
from dogcam.detection.boxes_from_maps import DEFAULT_RULE, LocalisationRule, normalise
from dogcam.detection.detector import Detector, ImageResult
from dogcam.draw import overlays
from dogcam.draw.overlays import DrawnBox
from dogcam.errors import ConfigError
from dogcam.files import atomic_write, sha256_of
from dogcam.files.states import Sources
from dogcam.structures.boxes import as_boxes, rescale
from dogcam.structures.images import LabelledImage, Split
from report.config import RunConfig
from report.pipeline import prepare
from report.pipeline.context import Progress
from report.pipeline.folder import remove_stale_pictures
from report.pipeline.provenance import run_info
from report.record.io import write_results
from report.record.photographs import FoundBox, FoundClass, PhotographItem, Photographs
from report.record.tables import DETECTIONS_NAME, PHOTOGRAPHS_HEAD, table

SCORE_THRESHOLD = 0.05
"""The lowest score of a box, as in `dogcam detect`; without ground truth none can be chosen."""

MOST_PICTURES = 48
PICTURE_SIDE, PICTURE_BUDGET = 360, 28_000
"""Longest side of a picture in pixels, and its size in bytes."""


@dataclass(frozen=True)
class _Found:
    """An image with the boxes that score enough."""

    image: LabelledImage
    result: ImageResult


def find_photographs(config: RunConfig) -> Split | None:
    """Return the photographs that the settings name; None if the data set is annotated.

    A folder of photographs has one split, whatever the settings call it.

    Raises:
        DataError: if the data set has no known format.
    """
    if config.kind != "folder":
        return None
    folder = Path(config.data)
    if recognise(folder)[0].NAME != image_folder.NAME:
        return None
    names = split_names(folder)
    split = names[0] if len(names) == 1 and config.split not in names else config.split
    return read_split(folder, split, config.limit, config.read_rules, decode=True)


def run_photographs(
    config: RunConfig, split: Split, folder: Path, cache: Path, command: str, progress: Progress
) -> Photographs:
    """Detect on photographs, draw the pictures, and write record and table.

    Args:
        config: the settings; those of evaluation are not used.
        split: the photographs.
        folder: the run's folder.
        cache: where downloads are kept.
        command: the command line for the record, without paths.
        progress: receives the progress.

    Raises:
        ModelError: if the classifier does not know a target.
        DataError: if a photograph cannot be read, or changed during the run.
    """
    if config.precision is not None:
        raise ConfigError("--precision is measured against annotations, and the photographs have none")
    sources = Sources(split.files)
    classifier = prepare.find_classifier(config, cache)
    targets = classifier.classes_named(config.targets or (config.target,))
    rule = LocalisationRule(config.cam_threshold) if config.cam_threshold else DEFAULT_RULE
    detector = Detector(classifier, targets, GradCam(classifier.target_layer), rule)
    results = detector.run((image.path for image in split.images), config.batch_size)
    tracked = progress.track(zip(split.images, results, strict=True), len(split), "detect")
    found = [_Found(image, result.above(SCORE_THRESHOLD)) for image, result in tracked]
    items, files = _draw(folder, _chosen(found, targets))
    rows = (row for each in found for row in _rows(each))
    content = table(PHOTOGRAPHS_HEAD, ((box.name, image, *box.xyxy, box.score) for image, box in rows))
    atomic_write(folder / DETECTIONS_NAME, content)
    files[DETECTIONS_NAME] = sha256_of(content.encode())
    kept = config.without_paths().model_copy(update={"target": targets[0], "targets": targets})
    record = Photographs(
        title=f"Where the classifier sees {targets[0] if len(targets) == 1 else 'its classes'}",
        run=run_info(command, classifier.device.type, torch.get_num_threads(), []),
        config=kept, data=config.data_name, split=split.name,
        manifest=split.manifest, n_images=len(split), n_skipped_images=len(split.skipped_images),
        n_empty=sum(not len(each.result.boxes) for each in found),
        n_boxes=sum(len(each.result.boxes) for each in found),
        model=classifier.name, source=classifier.source, weights=classifier.weights_sha256(),
        target_layer=classifier.target_layer, cam_threshold=rule.cam_threshold,
        score_threshold=SCORE_THRESHOLD, classes=[_class(found, name) for name in targets],
        items=items, most_pictures=MOST_PICTURES, files=files,
    )  # fmt: skip
    # After the photographs were hashed as well.
    sources.require_unchanged()
    write_results(record, folder)
    remove_stale_pictures(folder, record)
    return record


def _rows(found: _Found) -> Iterator[tuple[str, FoundBox]]:
    result = found.result
    for name, box, score in zip(result.labels, result.boxes.tolist(), result.scores.tolist(), strict=True):
        yield found.image.id, FoundBox(name=name, xyxy=tuple(box), score=score)


def _class(found: Sequence[_Found], name: str) -> FoundClass:
    scores = [each.result.located[each.result.targets.index(name)][1] for each in found]
    highest = max((float(each.max()) for each in scores if len(each)), default=None)
    return FoundClass(
        name=name,
        n_images=sum(len(each) > 0 for each in scores),
        n_boxes=sum(map(len, scores)),
        highest=highest,
    )


def _chosen(found: Sequence[_Found], targets: Sequence[str]) -> list[tuple[_Found, str]]:
    """Choose pictures: in turn of each class the image with its highest-scored box, each image once."""
    queues = []
    for place in range(len(targets)):
        scored = [(each.result.located[place][1], each) for each in found]
        ordered = sorted((pair for pair in scored if len(pair[0])), key=lambda pair: -float(pair[0].max()))
        queues.append([each for _, each in ordered])
    chosen: dict[str, tuple[_Found, str]] = {}
    while any(queues) and len(chosen) < MOST_PICTURES:
        for name, queue in zip(targets, queues, strict=True):
            while queue and queue[0].image.id in chosen:
                queue.pop(0)
            if queue and len(chosen) < MOST_PICTURES:
                each = queue.pop(0)
                chosen[each.image.id] = (each, name)
    return list(chosen.values())


def _draw(folder: Path, chosen: Sequence[tuple[_Found, str]]) -> tuple[list[PhotographItem], dict[str, str]]:
    items, files = [], {}
    for number, (found, name) in enumerate(chosen):
        path, place = f"gallery/photograph-{number:03d}.webp", found.result.targets.index(name)
        boxes = [box for _, box in _rows(found)]
        photo = overlays.thumbnail(read_pixels(found.image, PICTURE_SIDE), PICTURE_SIDE)
        corners = as_boxes([box.xyxy for box in boxes])
        scaled = rescale(corners, found.image.size, (photo.height, photo.width))
        drawn = [
            DrawnBox(tuple(xyxy), "detection", f"{box.name} {box.score:.2f}")
            for xyxy, box in zip(scaled.tolist(), boxes, strict=True)
        ]
        picture = overlays.composite(photo, normalise(found.result.maps[place]), drawn)
        content = overlays.encode_webp_within(picture, PICTURE_BUDGET, 80)
        atomic_write(folder / path, content)
        files[path] = sha256_of(content)
        items.append(
            PhotographItem(
                image_id=found.image.id, name=name, probability=float(found.result.probabilities[place]),
                boxes=boxes, composite=path,
            )
        )  # fmt: skip
    return items, files
