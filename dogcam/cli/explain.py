"""The command `dogcam explain`: photographs in, each with its map, boxes and score drawn on it, out."""

from collections import Counter
from pathlib import Path

import click

from dogcam.cam import METHODS, Views
from dogcam.cli.common import FRACTION, FiniteRange
from dogcam.cli.options import ClassifierOptions, classifier_options
from dogcam.detection.boxes_from_maps import LocalisationRule, reason_for_no_box
from dogcam.detection.detector import Detector
from dogcam.detection.images import as_image
from dogcam.draw.overlays import DrawnBox, composite, encode_png
from dogcam.errors import ConfigError
from dogcam.files import atomic_write
from dogcam.models.registry import require_input


@click.command("explain")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@classifier_options
@click.option("--target", default="dog", show_default=True, help="The class to look for.")
@click.option(
    "--method", type=click.Choice(list(METHODS)), default="grad_cam", show_default=True, help="Kind of map."
)
@click.option("--layer", help="The target layer.  [default: the last one before pooling]")
@click.option(
    "--scale", "scales", type=FiniteRange(0, min_open=True), multiple=True, default=(1.0,),
    show_default=True, help="Average the map over sizes of the picture; give it once for each.",
)  # fmt: skip
@click.option("--flip", is_flag=True, help="Average the map with the mirrored picture's.")
@click.option(
    "--cam-threshold", type=FRACTION, default=0.3, show_default=True,
    help="Fraction of the map's peak from which on a pixel is in the box.",
)  # fmt: skip
@click.option(
    "--score-threshold", type=FiniteRange(0, 1), default=0.0, show_default=True,
    help="Boxes that score less are not drawn.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path(), show_default=True,
    help="The folder to write NAME.dogcam.png into.",
)  # fmt: skip
def command(
    images: tuple[Path, ...],
    options: ClassifierOptions,
    target: str,
    method: str,
    layer: str | None,
    scales: tuple[float, ...],
    flip: bool,
    cam_threshold: float,
    score_threshold: float,
    out: Path,
) -> None:
    """Show where a classifier sees the target class in any photographs.

    For each of IMAGES an overlay `NAME.dogcam.png` is written, and a line says how likely the class is, which
    layer was looked at, and where the class is seen: the boxes, as x0 y0 x1 y1 in pixels with their scores,
    or why there is none.
    """
    _refuse_same_names(images)
    classifier = options.load("efficientnet_lite0")
    request, views = METHODS[method](layer or classifier.target_layer), Views(scales, flip)
    detector = Detector(classifier, (target,), request, LocalisationRule(cam_threshold), views)
    for size in set(views.sizes(classifier.preprocessing.size)) - {classifier.preprocessing.size}:
        require_input(classifier.network, classifier.name, size)
    for path in images:
        image = as_image(path)
        (result,) = detector.run(image)
        heat, boxes, scores = result.heat_map(target), result.boxes, result.scores
        kept = scores >= score_threshold
        found = [(tuple(box), score) for box, score in zip(boxes[kept].tolist(), scores[kept], strict=True)]
        drawn = [DrawnBox(box, "detection", f"{target} {score:.2f}") for box, score in found]
        written = atomic_write(out / f"{path.stem}.dogcam.png", encode_png(composite(image, heat, drawn)))
        places = "; ".join(f"{' '.join(f'{x:.0f}' for x in box)} ({score:.2f})" for box, score in found)
        nothing = f"no box ({reason_for_no_box(heat) or f'none scores {score_threshold:g}'})"
        how = f"{method} at {request.layer}"
        click.echo(
            f"{path}: {target} {result.probabilities[0]:.2f} ({how}), {places or nothing} -> {written}"
        )


def _refuse_same_names(images: tuple[Path, ...]) -> None:
    twice = [stem for stem, number in Counter(path.stem for path in images).items() if number > 1]
    if twice:
        raise ConfigError(
            f"several images are called {twice[0]}, and would overwrite each other's {twice[0]}.dogcam.png; "
            "explain them in separate calls with different --out"
        )
