"""Draw what the record holds: figures as SVG, the gallery's photographs and maps as WebP."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from dogcam.data.images import read_photo
from dogcam.detection.boxes_from_maps import normalise
from dogcam.draw import overlays as pictures
from dogcam.draw import plots
from dogcam.draw.overlays import DrawnBox
from dogcam.draw.svg import to_svg
from dogcam.evaluate.metrics import Estimate
from dogcam.files import atomic_write
from dogcam.structures.boxes import as_boxes, rescale
from dogcam.structures.images import LabelledImage
from report import record as results
from report.pipeline.stages import analyse, compare, evaluate, localise, predict, sanity
from report.pipeline.stages.context import Context
from report.pipeline.stages.methods import CAM, EARLIER, MAIN, METHODS, PICTURED

NAME = "draw"

PHOTO_SIDE = 360
"""Longest side of a photograph in the gallery, in pixels."""

PICTURE_BUDGET = 28_000
"""Bytes that a picture of the gallery may take: sixty of them, as text, are well within the page's 4 MB."""

ROW_BUDGET = 40_000
"""Bytes that a photograph with a pair of maps may take; there are at most three for each method pictured."""

SHOWN_METHODS = (MAIN, EARLIER, "cheating_centerbox", "centerbox_scored", "full_image", "centerbox")
"""Curves of the precision-recall figure; CAM's would lie under Grad-CAM's."""

ORDER_TITLES = {"map": "order of the map", "random": "map with shuffled cells", "centre": "from the centre"}


def run(context: Context) -> dict:
    """Draw everything; the files go into the run's folder.

    Returns:
        The record's figures, and the names of all files.
    """
    figures = [_save(context, *drawing) for drawing in _drawings(context)]
    figures += list(_map_rows(context))
    files = [name for figure in figures for name in {figure.path, figure.standalone}]
    items = list(_gallery(context.outputs[analyse.NAME]))
    maps = predict.load(context, "reported").maps[MAIN]
    cases = {image.id: (image, map_) for image, map_ in zip(context.reported.images, maps, strict=True)}
    for item in context.progress.track(items, len(items), "draw"):
        files += _draw_item(context.folder, item, *cases[item.image_id])
    return {"figures": [figure.model_dump(mode="json") for figure in figures], "files": sorted(files)}


def _drawings(context: Context) -> Iterator[tuple[str, Figure, str]]:
    """Yield each figure with its name and its text alternative."""
    detection = results.Detection(**context.outputs[evaluate.NAME]["detection"])
    point = results.ChosenThreshold(**context.outputs[evaluate.NAME]["operating_point"])
    yield _precision_recall(detection, point)
    yield _estimates(detection)
    yield from _sweeps(context)
    yield _kinds(results.Failures(**context.outputs[analyse.NAME]))
    yield from _agreements(context)
    yield _scores(context)
    yield from _sanity(results.Sanity(**context.outputs[sanity.NAME]))


def _precision_recall(
    detection: results.Detection, point: results.ChosenThreshold
) -> tuple[str, Figure, str]:
    methods = [detection.method(name) for name in SHOWN_METHODS]
    panels = []
    for index, iou in enumerate(detection.iou_thresholds):
        mark = None
        if iou == point.iou and point.precision.value is not None:
            mark = plots.OperatingMark(METHODS[MAIN].title, point.recall.value, point.precision.value)
        scores = _score_marks(detection.method(MAIN).curves[index]) if iou == point.iou else []
        curves = [_series(each, index) for each in methods]
        panels.append(plots.PrecisionRecallPanel(iou, curves, mark, scores))
    best = "; ".join(f"{method.title}: AP {_percents(row.ap for row in method.rows)}" for method in methods)
    ious = ", ".join(f"{iou:g}" for iou in detection.iou_thresholds)
    alt = (
        f"Precision against recall, a panel each for IoU {ious}; {METHODS[MAIN].title} with the interval of "
        f"its precision. {best}."
    )
    return "precision_recall", plots.precision_recall_figure(panels), alt


def _series(method: results.Method, index: int) -> plots.Series:
    curve = method.curves[index]
    # One score for all boxes is one place on the curve, the last; what lies before it is the order of ties.
    constant = method.name in ("centerbox", "cheating_centerbox")
    x, y = (curve.recall[-1:], curve.precision[-1:]) if constant else (curve.recall, curve.precision)
    # One band: six of them would hide each other, and what is compared is compared in pairs elsewhere.
    band = (curve.precision_low, curve.precision_high) if method.name == MAIN else (None, None)
    return plots.Series(method.title, x, y, "points" if constant else "line", *band)


def _score_marks(curve: results.Curve) -> list[plots.ScoreMark]:
    """Say along a curve where the round scores lie: the last point that each still reaches."""
    marks = []
    for score in evaluate.ROUND_SCORES:
        reached = sum(each >= score for each in curve.score)
        if reached:
            place = (curve.recall[reached - 1], curve.precision[reached - 1])
            marks.append(plots.ScoreMark(f"{score:.1f}", *place))
    return marks


def _estimates(detection: results.Detection) -> tuple[str, Figure, str]:
    groups = [
        plots.EstimateGroup(
            iou,
            [_estimate(method.title, method.rows[index]) for method in detection.methods],
        )
        for index, iou in enumerate(detection.iou_thresholds)
    ]
    parts = (f"{method.title} {_percents(row.ap for row in method.rows)}" for method in detection.methods)
    alt = f"AP of every method with its interval, a panel for each IoU threshold. {'; '.join(parts)}."
    return "estimates", plots.estimates_figure(groups), alt


def _estimate(title: str, row: results.DetectionRow) -> plots.EstimateRow:
    return plots.EstimateRow(title, row.ap, row.ap_interval.low, row.ap_interval.high)


def _sweeps(context: Context) -> Iterator[tuple[str, Figure, str]]:
    ious = context.config.iou_thresholds
    for method, tuning in context.outputs[localise.NAME]["tuning"].items():
        rows = [row for row in tuning["rows"] if row["components"] == tuning["components"]]
        if rows:
            cuts = [row["cam_threshold"] for row in rows]
            series = [
                plots.Series(f"IoU > {iou:g}", cuts, [row["ap"][index] for row in rows])
                for index, iou in enumerate(ious)
            ]
            alt = (
                f"AP on the tuning split against cam_threshold from {cuts[0]:g} to {cuts[-1]:g}, for "
                f"{METHODS[method].title}; {tuning['cam_threshold']:g} was chosen."
            )
            yield f"sweep_{method}", plots.sweep_figure(series, tuning["cam_threshold"]), alt


def _kinds(failures: results.Failures) -> tuple[str, Figure, str]:
    rows = [
        plots.CountRow(kind.kind.replace("_", " "), (kind.n_detections, kind.n_missed))
        for kind in failures.kinds
    ]
    parts = (f"{row.label}: {row.counts[0]} and {row.counts[1]}" for row in rows)
    alt = f"False positives and missed objects of each kind of failure. {'; '.join(parts)}."
    return "failures", plots.counts_figure(rows, ("false positives", "missed objects")), alt


def _agreements(context: Context) -> Iterator[tuple[str, Figure, str]]:
    best = context.outputs[compare.NAME]["best_iou"]
    for other in (CAM, EARLIER):
        a, b = METHODS[MAIN].title, METHODS[other].title
        figure = plots.agreement_figure(best[MAIN], best[other], a_label=a, b_label=b)
        higher = int((np.array(best[MAIN]) > np.array(best[other]) + 0.01).sum())
        lower = int((np.array(best[other]) > np.array(best[MAIN]) + 0.01).sum())
        alt = (
            f"IoU of the best-scored box, image by image (images: {len(best[MAIN])}): {a} against {b}. "
            f"{a} is higher by more than 0.01 in {higher} of them, {b} in {lower}."
        )
        yield f"agreement_{other}", figure, alt


def _scores(context: Context) -> tuple[str, Figure, str]:
    probabilities = predict.load(context, "reported").probabilities(context.target)
    present = np.array([context.has_target(image) for image in context.reported.images])
    target = context.config.target
    figure = plots.score_figure(probabilities[present], probabilities[~present], None, target=target)
    alt = (
        f"Probability of the class {target}: median {np.median(probabilities[present]):.2f} where it "
        f"is shown (images: {present.sum()})"
    )
    if not present.all():
        alt += f", {np.median(probabilities[~present]):.2f} where it is not (images: {(~present).sum()})"
    alt += "."
    return "scores", figure, alt


def _sanity(found: results.Sanity) -> Iterator[tuple[str, Figure, str]]:
    """Draw similarity against depth, and the curves of erasing, where there was anything to measure."""
    if not found.n_images:
        return
    measures = {"rank correlation": "spearman", "structural similarity": "ssim"}
    shares = [depth.n_layers / found.depths[-1].n_layers for depth in found.depths]
    series = [
        plots.EstimateSeries(label, shares, [_sanity_row(getattr(depth, name)) for depth in found.depths])
        for label, name in measures.items()
    ]
    mark = next(check.mark for check in found.checks if check.name == "randomised_spearman")
    parts = (f"{depth.layer}: {_signed(depth.spearman)} and {_signed(depth.ssim)}" for depth in found.depths)
    yield (
        "sanity_weights",
        plots.similarity_figure(series, mark),
        (
            "Rank correlation and structural similarity of the maps with those of the trained network, by "
            f"the lowest layer that is randomised. {'; '.join(parts)}."
        ),
    )
    panels = [
        (way, [plots.Series(ORDER_TITLES[curve.order], found.fractions, getattr(curve, way))
               for curve in found.curves])
        for way in ("deletion", "insertion")
    ]  # fmt: skip
    areas = (
        f"{ORDER_TITLES[curve.order]}: {_signed(curve.deletion_auc)} and {_signed(curve.insertion_auc)}"
        for curve in found.curves
    )
    yield (
        "sanity_pixels",
        plots.insertion_deletion_figure(panels),
        (
            "Probability of the class against the share of the pixels that are blurred, and that are brought "
            f"back, in three orders. Areas under the curves: {'; '.join(areas)}."
        ),
    )


def _sanity_row(found: Estimate) -> plots.EstimateRow:
    return plots.EstimateRow("", found.value, found.interval.low, found.interval.high)


def _signed(found: Estimate) -> str:
    return "n/a" if found.value is None else f"{found.value:.2f}"


def _save(context: Context, name: str, figure: Figure, alt: str) -> results.Figure:
    path, standalone = f"figures/{name}.svg", f"figures/{name}-standalone.svg"
    atomic_write(context.folder / path, to_svg(figure, name=name.replace("_", "-"), alt=alt))
    atomic_write(
        context.folder / standalone,
        to_svg(figure, name=name.replace("_", "-"), alt=alt, theme="standalone"),
    )
    return results.Figure(name=name, path=path, standalone=standalone, alt=alt)


def _map_rows(context: Context) -> Iterator[results.Figure]:
    """Show each picked image under a method's map and under that of the method it is compared with."""
    places = {image.id: place for place, image in enumerate(context.reported.images)}
    maps = predict.load(context, "reported").maps
    for output in context.outputs[compare.NAME]["comparisons"]:
        pair = results.MapComparison(**output)
        if pair.b not in PICTURED:
            continue
        titles = [METHODS[name].title for name in (pair.a, pair.b)]
        for example in pair.examples:
            place = places[example.image_id]
            pair_maps = {name: normalise(maps[name][place]) for name in (pair.a, pair.b)}
            name = f"maps_{pair.b}_{example.picked}"
            path = f"figures/{name}.webp"
            _write(context.folder / path, _map_row(context, place, pair_maps), 80, ROW_BUDGET)
            alt = (
                f"A photograph with its annotated boxes, then the map of {titles[0]} and that of {titles[1]} "
                f"with the best-scored box of each, on one colour scale from 0 to the map's peak. IoU of "
                f"these boxes: {example.iou_a:.2f} and {example.iou_b:.2f}."
            )
            yield results.Figure(name=name, path=path, standalone=path, alt=alt)


def _map_row(context: Context, place: int, maps: Mapping[str, NDArray[np.float32]]) -> Image.Image:
    """Put the photograph, each method's map and their common scale in a row."""
    image = context.reported.images[place]
    photo = pictures.thumbnail(read_photo(image), PHOTO_SIDE)
    small = (photo.height, photo.width)

    def drawn(xyxys: NDArray[np.float64], role: pictures.Role) -> list[DrawnBox]:
        return [DrawnBox(tuple(xyxy), role) for xyxy in rescale(xyxys, image.size, small).tolist()]

    truths = drawn(as_boxes(image.boxes_of(context.config.target)), "truth")
    row = [pictures.composite(photo, None, truths)]
    for name, map_ in maps.items():
        found = context.outputs[localise.NAME]["detections"]["reported"][name][place]
        boxes = truths + drawn(compare.best_box(found), "detection")
        row.append(pictures.composite(pictures.heat_map(map_, small), None, boxes))
    row.append(pictures.colour_bar(small[0], "0", "peak"))
    return pictures.side_by_side(row, ["photograph", *(METHODS[name].title for name in maps), "scale"])


def _gallery(failures: dict) -> Iterator[results.GalleryItem]:
    for items in [failures["successes"], *(kind["items"] for kind in failures["kinds"])]:
        yield from (results.GalleryItem(**item) for item in items)


def _draw_item(
    folder: Path, item: results.GalleryItem, image: LabelledImage, map_: NDArray[np.float32]
) -> list[str]:
    """Draw a gallery picture three ways: photograph and map as layers for the page, and both with boxes."""
    heat = normalise(map_)
    photo = pictures.thumbnail(read_photo(image), PHOTO_SIDE)
    small = (photo.height, photo.width)
    # The map is smooth: a layer of a quarter of the photograph's size is enlarged by the page without loss.
    layer = pictures.heat_overlay(heat, (max(1, small[0] // 4), max(1, small[1] // 4)))
    drawn = pictures.composite(photo, heat, _drawn_boxes(item.boxes, image.size, small))
    _write(folder / item.photo, photo, 72, PICTURE_BUDGET)
    _write(folder / item.map, layer, 80, PICTURE_BUDGET)
    _write(folder / item.composite, drawn, 80, PICTURE_BUDGET)
    return [item.photo, item.map, item.composite]


def _drawn_boxes(
    boxes: Sequence[results.GalleryBox], size: tuple[int, int], small: tuple[int, int]
) -> list[DrawnBox]:
    scaled = rescale(as_boxes([box.xyxy for box in boxes]), size, small)
    return [
        DrawnBox(tuple(xyxy), box.role, box.label) for xyxy, box in zip(scaled.tolist(), boxes, strict=True)
    ]


def _write(path: Path, picture: Image.Image, quality: int, budget: int) -> None:
    atomic_write(path, pictures.encode_webp_within(picture, budget, quality))


def _percents(values: Iterator[float | None]) -> str:
    return " / ".join("n/a" if value is None else f"{100 * value:.1f} %" for value in values)
