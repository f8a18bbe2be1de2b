"""Draw pictures picked by rule: one map grid, one map under permuted layers, masks."""

from collections.abc import Container, Iterator, Sequence
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dogcam.cam import explain
from dogcam.data.images import read_mask, read_pixels
from dogcam.detection.boxes_from_maps import heat_map, normalise
from dogcam.detection.masks_from_maps import Walker, mask_counts
from dogcam.draw import overlays
from dogcam.draw.overlays import DrawnBox, Role
from dogcam.evaluate import sanity as checks
from dogcam.files import atomic_write
from dogcam.structures.boxes import as_boxes, iou, rescale
from dogcam.structures.detections import Detections
from dogcam.structures.images import LabelledImage
from report import record as results
from report.pipeline.aside import aside
from report.pipeline.context import Context
from report.pipeline.methods import AT_EARLIER, EARLIER, MAIN, METHODS, requests
from report.pipeline.shared.boxes import best_box, best_ious, detections, found_rows
from report.pipeline.shared.cases import picture_of
from report.pipeline.shared.mask_counts import Grown
from report.pipeline.shared.masks import mask_index
from report.pipeline.shared.predictions import predictions
from report.pipeline.stages import sanity, segment
from report.pipeline.workers import in_threads

NAME = "picture"

Pick = Literal["best", "median", "worst"]

GRID_METHODS = (MAIN, EARLIER, *AT_EARLIER)
PHOTO_SIDE = 300
FAILING_SIDE = 360
PHOTO_BUDGET, LAYER_BUDGET, ROW_BUDGET = 18_000, 6_000, 60_000
TRUTH_COLOUR, GROWN_COLOUR = (64, 240, 208), (255, 160, 40)
"""Of masks: those of the boxes of the same roles."""


class _Files:
    """Writes pictures into the run's folder, and remembers their names."""

    def __init__(self, context: Context) -> None:
        self.folder = context.folder
        self.names: list[str] = []

    def write(self, name: str, picture: Image.Image, budget: int, quality: int = 76) -> str:
        path = f"gallery/{name}.webp"
        atomic_write(self.folder / path, overlays.encode_webp_within(picture, budget, quality))
        self.names.append(path)
        return path


class Output(results.Model):
    """The pictures of the record, and their files."""

    pictures: results.Pictures
    files: list[str]


def run(context: Context) -> dict:
    """Draw everything; the files go into the run's folder."""
    files = _Files(context)
    # The network uses every core by itself.
    randomised = _randomised(context, files)
    with aside(_failing, context) as failing:
        grid, masks = list(_grid(context, files)), list(_masks(context, files))
        names = sorted(files.names + failing.result())
    pictures = results.Pictures(grid=grid, randomised=randomised, masks=masks)
    return {"pictures": pictures.model_dump(mode="json"), "files": names}


def _failing(context: Context) -> list[str]:
    """Draw every image that has a failure at the operating point: map, ground truth and kept boxes."""
    cases = context.outputs["evidence"]["evidence"]["cases"]
    wanted = {case["picture"] for case in cases if case["picture"] is not None}
    threshold = context.outputs["evaluate"]["operating_point"]["score_threshold"]
    found = detections(context, "reported", MAIN).above(threshold)
    return draw_failing(context, context.config.target, found, wanted)


def draw_failing(
    context: Context, target: str, found: Detections, wanted: Container[str], prefix: str = ""
) -> list[str]:
    """Draw images with failures of a class: map, ground truth and detections.

    Args:
        context: after the stage `predict`.
        target: the class.
        found: its detections at the operating point.
        wanted: the names of the files to draw.
        prefix: begins the names.

    Returns:
        The names of the files.
    """
    maps = predictions(context, "reported").maps_of(target, MAIN)
    names = [picture_of(place, prefix) for place in range(len(context.reported))]
    places = [place for place, name in enumerate(names) if name in wanted]

    def draw(place: int) -> str:
        image = context.reported.images[place]
        kept = found.boxes[found.image == place]
        photo = overlays.thumbnail(read_pixels(image, FAILING_SIDE), FAILING_SIDE)
        drawn = _drawn(photo, image, normalise(maps[place]), image.boxes_of(target), kept)
        atomic_write(context.folder / names[place], overlays.encode_webp(drawn, 60))
        return names[place]

    return list(context.progress.track(in_threads(draw, places), len(places), "draw failures"))


def three(values: Sequence[float]) -> list[tuple[int, Pick]]:
    """Pick the places of the highest, the middle and the lowest value; no place twice."""
    order = sorted(range(len(values)), key=lambda place: -values[place])
    picked: dict[int, Pick] = {}
    ranks: tuple[tuple[int, Pick], ...] = (
        (0, "best"),
        (len(order) // 2, "median"),
        (len(order) - 1, "worst"),
    )
    for rank, why in ranks:
        picked.setdefault(rank, why)
    return [(order[rank], why) for rank, why in picked.items()] if order else []


def _grid(context: Context, files: _Files) -> Iterator[results.GridRow]:
    maps = predictions(context, "reported").maps
    best = best_ious(context, MAIN)
    places = [place for place, image in enumerate(context.reported.images) if context.has_target(image)]
    shown = [index for index, place in enumerate(places) if all(maps[m][place].any() for m in GRID_METHODS)]
    for index, why in three([best[index] for index in shown]):
        yield _grid_row(context, files, places[shown[index]], why, maps)


def _grid_row(
    context: Context, files: _Files, place: int, why: Pick, maps: dict[str, NDArray[np.float32]]
) -> results.GridRow:
    image = context.reported.images[place]
    truths = image.boxes_of(context.config.target)
    photo = overlays.thumbnail(read_pixels(image, PHOTO_SIDE), PHOTO_SIDE)
    cells, drawn = [], [_drawn(photo, image, None, truths, as_boxes([]))]
    for method in GRID_METHODS:
        heat = normalise(maps[method][place])
        box = best_box(found_rows(context)[method][place])
        cells.append(
            results.GridCell(
                method=method,
                map=files.write(f"grid-{why}-{method}", _layer(heat, photo), LAYER_BUDGET),
                box=tuple(box[0].tolist()) if len(box) else None,
                iou=float(iou(box, truths).max(initial=0.0)),
            )
        )
        drawn.append(_drawn(photo, image, heat, truths, box))
    titles = ["image", *(METHODS[method].title for method in GRID_METHODS)]
    return results.GridRow(
        image_id=image.id, picked=why, height=image.height, width=image.width,
        photo=files.write(f"grid-{why}", photo, PHOTO_BUDGET),
        composite=files.write(f"grid-{why}-drawn", overlays.side_by_side(drawn, titles), ROW_BUDGET),
        truths=[tuple(box) for box in truths.tolist()], cells=cells,
    )  # fmt: skip


def _drawn(
    photo: Image.Image,
    image: LabelledImage,
    heat: NDArray[np.float32] | None,
    truths: NDArray[np.float64],
    box: NDArray[np.float64],
) -> Image.Image:
    small = (photo.height, photo.width)
    boxes = [
        DrawnBox(tuple(xyxy), cast(Role, role))
        for role, group in (("truth", truths), ("detection", box))
        for xyxy in rescale(group, image.size, small).tolist()
    ]
    return overlays.composite(photo, heat, boxes)


def _layer(heat: NDArray[np.float32], photo: Image.Image) -> Image.Image:
    """Return a map as a layer of a quarter of the photograph's size: it is smooth."""
    return overlays.heat_overlay(heat, (max(1, photo.height // 4), max(1, photo.width // 4)))


def _randomised(context: Context, files: _Files) -> results.RandomisedExample | None:
    """Explain one image while the layers are permuted from the head down."""
    maps = predictions(context, "reported").maps[MAIN]
    best = dict(
        zip(
            [place for place, image in enumerate(context.reported.images) if context.has_target(image)],
            best_ious(context, MAIN).tolist(),
            strict=True,
        )
    )
    places = [place for place in best if maps[place].any()]
    if not places:
        return None
    place = sorted(places, key=lambda each: -best[each])[len(places) // 4]
    image, network = context.reported.images[place], context.classifier.network
    photo = overlays.thumbnail(read_pixels(image, PHOTO_SIDE), PHOTO_SIDE)
    batch = context.input_of([image])
    layers = checks.layers_as_they_run(network, batch)
    counts = sorted({int(count) for count in np.linspace(1, len(layers), sanity.N_DEPTHS).round()})
    cascade, done = checks.Cascade(network, layers, context.config.seed), 0
    request = requests(context.classifier)[MAIN]
    found: list[tuple[str | None, float, NDArray[np.float32]]] = [(None, 0.0, maps[place])]
    for count in counts:
        cascade.randomise(count - done)
        done = count
        map_ = explain(cascade.network, batch, [context.target], [request]).maps[0][0, 0].cpu().numpy()
        share = sanity.share_of_parameters(context, layers, count)
        found.append((layers[-count], share, map_))
    steps, drawn, titles = [], [], []
    for number, (layer, share, map_) in enumerate(found):
        heat = normalise(map_)
        path = files.write(f"randomised-{number}", _layer(heat, photo), LAYER_BUDGET) if map_.any() else None
        steps.append(results.Randomised(layer=layer, share_of_parameters=share, map=path))
        drawn.append(overlays.composite(photo, heat if map_.any() else None))
        titles.append("trained" if layer is None else layer)
    return results.RandomisedExample(
        image_id=image.id, height=image.height, width=image.width, steps=steps,
        photo=files.write("randomised", photo, PHOTO_BUDGET),
        composite=files.write("randomised-drawn", overlays.side_by_side(drawn, titles), ROW_BUDGET),
    )  # fmt: skip


def _masks(context: Context, files: _Files) -> Iterator[results.MaskExample]:
    """Show the best, the median and the worst pseudo-mask of the images that get one."""
    found = context.outputs["segment"]
    if not found:
        return
    probabilities = predictions(context, "reported").probabilities(context.target)
    maps = predictions(context, "reported").maps[MAIN]
    places = [
        place
        for place, image in enumerate(context.reported.images)
        if context.has_target(image) and probabilities[place] >= segment.SCORE_THRESHOLD
    ][: segment.N_TUNING // 4]
    index = mask_index(context)
    assert index is not None, "there are masks if seeds were chosen"
    made = []
    for place in places:
        image = context.reported.images[place]
        grow = Grown(found["cam_threshold"], found["background_threshold"])
        grown = grow(Walker(np.asarray(read_pixels(image))), heat_map(maps[place], image.size))
        made.append((place, grown, mask_counts(grown, read_mask(image), index).iou))
    for at, why in three([each[2] for each in made]):
        place, grown, overlap = made[at]
        image = context.reported.images[place]
        photo = overlays.thumbnail(read_pixels(image, PHOTO_SIDE), PHOTO_SIDE)
        layers = {
            "truth": _mask_layer(read_mask(image) == index, photo, TRUTH_COLOUR),
            "grown": _mask_layer(grown == 1, photo, GROWN_COLOUR),
        }
        drawn = [
            Image.alpha_composite(photo.convert("RGBA"), layer).convert("RGB") for layer in layers.values()
        ]
        names = {
            name: files.write(f"mask-{why}-{name}", layer, LAYER_BUDGET) for name, layer in layers.items()
        }
        yield results.MaskExample(
            image_id=image.id, picked=why, picked_from=len(made), iou=overlap,
            height=image.height, width=image.width,
            photo=files.write(f"mask-{why}", photo, PHOTO_BUDGET), **names,
            composite=files.write(
                f"mask-{why}-drawn",
                overlays.side_by_side([photo, *drawn], ["image", "annotated", "pseudo-mask"]), ROW_BUDGET,
            ),
        )  # fmt: skip


def _mask_layer(mask: NDArray[np.bool_], photo: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """Return a mask as a translucent layer of one colour."""
    alpha = Image.fromarray(np.where(mask, 150, 0).astype(np.uint8)).resize(photo.size)
    layer = Image.new("RGBA", photo.size, (*colour, 0))
    layer.putalpha(alpha)
    return layer
