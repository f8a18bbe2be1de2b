"""The command `dogcam explain`: images in, overlays of maps and boxes out."""

from pathlib import Path

import click

from dogcam.cli.common import FiniteRange, visible
from dogcam.cli.options import ClassifierOptions, MapOptions, classifier_options, map_options
from dogcam.cli.paths import require_distinct_stems
from dogcam.detection.boxes_from_maps import reason_for_no_box
from dogcam.detection.detector import working_size
from dogcam.detection.images import load_image
from dogcam.draw.overlays import DrawnBox, composite, encode_png
from dogcam.files import atomic_write
from dogcam.models.registry import require_input
from dogcam.structures.boxes import rescale


@click.command("explain")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@classifier_options
@map_options
@click.option(
    "--scale", "scales", type=FiniteRange(0, min_open=True), multiple=True, default=(1.0,),
    show_default=True, help="Factor of the input size; repeatable: the maps are averaged.",
)  # fmt: skip
@click.option(
    "--score-threshold", type=FiniteRange(0, 1), default=0.0, show_default=True,
    help="Boxes that score less are not drawn.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path(), show_default=True,
    help="Folder for the overlays.",
)  # fmt: skip
def command(
    images: tuple[Path, ...],
    options: ClassifierOptions,
    maps: MapOptions,
    scales: tuple[float, ...],
    score_threshold: float,
    out: Path,
) -> None:
    """Draw the class activation maps and boxes of images.

    For each image and target, an overlay is written: NAME.dogcam.png, or NAME.CLASS.dogcam.png for several
    targets; its longer side is at most 1,024 pixels. A line states the probability of the class, the layer,
    and the boxes with their scores: 0-based, half-open x0 y0 x1 y1 in pixels of the upright image.
    """
    require_distinct_stems(images)
    classifier = options.load("efficientnet_lite0")
    detector = maps.detector(classifier, scales)
    names = detector.targets
    for size in set(detector.views.sizes(classifier.preprocessing.size)) - {classifier.preprocessing.size}:
        require_input(classifier.network, classifier.name, size)
    for path in images:
        image = load_image(path, detector.least_side)
        (result,) = detector.run(image)
        height, width = working_size(image.size)
        picture = image.pixels.resize((width, height)) if image.size != (height, width) else image.pixels
        for name, probability in zip(names, result.probabilities, strict=True):
            boxes, scores = result.above(score_threshold).located[names.index(name)]
            heat = result.heat_map(name)
            shown = rescale(boxes, image.size, (height, width))
            drawn = [
                DrawnBox(tuple(box), "detection", f"{name} {score:.2f}")
                for box, score in zip(shown.tolist(), scores, strict=True)
            ]
            ending = "dogcam.png" if len(names) == 1 else f"{name.replace('/', '-')}.dogcam.png"
            written = atomic_write(out / f"{path.stem}.{ending}", encode_png(composite(picture, heat, drawn)))
            listed = "; ".join(
                f"{' '.join(f'{x:.0f}' for x in box)} ({score:.2f})"
                for box, score in zip(boxes.tolist(), scores, strict=True)
            )
            nothing = f"no box ({reason_for_no_box(heat) or f'none scores {score_threshold:g}'})"
            how = f"{name} {probability:.2f} ({maps.method} at {detector.request.layer})"
            click.echo(visible(f"{path}: {how}, {listed or nothing} -> {written}"))
