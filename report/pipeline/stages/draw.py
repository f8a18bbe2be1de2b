"""Draw what the record holds: figures as SVG, the gallery's photographs and maps as WebP."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dogcam.data.images import read_pixels
from dogcam.detection.boxes_from_maps import normalise
from dogcam.draw import overlays as pictures
from dogcam.draw.overlays import DrawnBox
from dogcam.draw.svg import Theme, to_svgs
from dogcam.files import atomic_write
from dogcam.structures.boxes import as_boxes, rescale
from dogcam.structures.images import LabelledImage
from report import record as results
from report.pipeline.aside import aside
from report.pipeline.context import Context
from report.pipeline.methods import MAIN
from report.pipeline.shared.predictions import predictions
from report.pipeline.stages.figures import NamedFigure, drawings
from report.pipeline.workers import in_threads

NAME = "draw"

PHOTO_SIDE = 480
"""Longest side of a photograph in the gallery, in pixels: the dialog enlarges it."""

PICTURE_BUDGET = 24_000
"""Bytes that a picture of the gallery may take: eighty of them, as text, are within the page's 4 MB."""


class Output(results.Model):
    """The figures of the record, and all files."""

    figures: list[results.Figure]
    files: list[str]


def run(context: Context) -> dict:
    """Draw everything; the files go into the run's folder.

    Returns:
        The record's figures, and the names of all files.
    """
    with aside(draw_gallery, context, list(_gallery(context.outputs["analyse"]))) as gallery:
        drawn = list(drawings(context))
        figures = [
            save_figure(context, each) for each in context.progress.track(drawn, len(drawn), "save figures")
        ]
        files = [name for figure in figures for name in figure.files()] + gallery.result()
    return {"figures": [figure.model_dump(mode="json") for figure in figures], "files": sorted(files)}


def draw_gallery(context: Context, items: Sequence[results.GalleryItem]) -> list[str]:
    """Draw the pictures of the gallery; return the names of their files."""
    predicted = predictions(context, "reported")
    places = {image.id: place for place, image in enumerate(context.reported.images)}

    def draw(item: results.GalleryItem) -> list[str]:
        place = places[item.image_id]
        map_ = predicted.maps_of(item.target, MAIN)[place]
        return _draw_item(context.folder, item, context.reported.images[place], map_)

    return list(chain(*context.progress.track(in_threads(draw, items), len(items), "draw gallery")))


def save_figure(context: Context, drawing: NamedFigure) -> results.Figure:
    """Write a figure for the page, on white and for a dark page; return its part of the record."""
    name, alt = drawing.name, drawing.alt
    path, standalone, dark = (f"figures/{name}{ending}.svg" for ending in ("", "-standalone", "-dark"))
    themes: dict[Theme, str] = {"page": path, "standalone": standalone, "dark": dark}
    slug = name.replace("_", "-")
    texts = to_svgs(drawing.figure, name=slug, alt=alt, themes=tuple(themes))
    for theme, text in texts.items():
        atomic_write(context.folder / themes[theme], text)
    narrow = None
    if drawing.narrow:
        narrow = f"figures/{name}-narrow.svg"
        [text] = to_svgs(drawing.narrow, name=f"{slug}-narrow", alt=alt, themes=("page",)).values()
        atomic_write(context.folder / narrow, text)
    return results.Figure(name=name, path=path, standalone=standalone, dark=dark, narrow=narrow, alt=alt)


def _gallery(failures: dict) -> Iterator[results.GalleryItem]:
    for items in [failures["successes"], *(each["items"] for each in failures["types"])]:
        yield from (results.GalleryItem(**item) for item in items)


def _draw_item(
    folder: Path, item: results.GalleryItem, image: LabelledImage, map_: NDArray[np.float32]
) -> list[str]:
    """Draw a gallery picture three ways: photograph and map as layers for the page, and both with boxes."""
    heat = normalise(map_)
    photo = pictures.thumbnail(read_pixels(image, PHOTO_SIDE), PHOTO_SIDE)
    small = (photo.height, photo.width)
    # The map is smooth: a layer of a quarter of the photograph's size is enlarged by the page without loss.
    layer = pictures.heat_overlay(heat, (max(1, small[0] // 4), max(1, small[1] // 4)))
    drawn = pictures.composite(photo, heat, _drawn_boxes(item.boxes, image.size, small))
    assert item.photo and item.map and item.composite, "a picture to draw has its names"
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
