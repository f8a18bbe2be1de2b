"""Images with maps and boxes drawn on them, for the gallery and for `dogcam explain`."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dogcam.structures.boxes import as_boxes, clip

Role = Literal["truth", "missed", "detection", "other", "below"]
Colour = tuple[int, int, int]
Rectangle = tuple[int, int, int, int]

_RAMP = "inferno"
# Without the darkest fifth of the ramp, low values tint the photograph instead of blackening it.
_RAMP_START = 0.2
_OPACITY = 0.72

_LONGEST_TEXT = 200

_HALO: Colour = (13, 17, 23)
_PAPER: Colour = (255, 255, 255)
_INK: Colour = (27, 31, 36)


@dataclass(frozen=True)
class _Stroke:
    """How a role is drawn: colour, width in line widths, and dash and gap in line widths (None: solid)."""

    colour: Colour
    width: float
    dash: tuple[float, float] | None


# Roles differ in lightness, hue and dash: any one of the three is enough to distinguish them.
_STROKES: dict[Role, _Stroke] = {
    "below": _Stroke((255, 160, 40), 0.5, (1.0, 2.0)),
    "other": _Stroke((208, 212, 218), 0.6, (1.0, 1.0)),
    "truth": _Stroke((64, 240, 208), 1.0, None),
    "missed": _Stroke((255, 92, 138), 1.4, None),
    "detection": _Stroke((255, 160, 40), 1.0, (4.0, 2.5)),
}


@dataclass(frozen=True)
class DrawnBox:
    """A box to draw: xyxy in pixels of the picture, its role, and its label (none if empty)."""

    xyxy: tuple[float, float, float, float]
    role: Role
    label: str = ""


def heat_overlay(map_01: NDArray[np.floating], size: tuple[int, int]) -> Image.Image:
    """Return a map as a translucent layer for its photograph.

    Colour and opacity both rise with the value; the layer is transparent at 0.

    Args:
        map_01: (h, w) float array in [0, 1].
        size: (height, width) of the layer in pixels; the map is resized to it bilinearly.

    Returns:
        An RGBA picture.

    Raises:
        ValueError: if the map is not two-dimensional or leaves [0, 1].
    """
    values = _enlarged(map_01, size)
    rgba = _coloured(values)
    rgba[..., 3] = _OPACITY * values
    return Image.fromarray(np.round(rgba * 255).astype(np.uint8), "RGBA")


def heat_picture(map_01: NDArray[np.floating], size: tuple[int, int]) -> Image.Image:
    """Return a map in opaque colours, which do not depend on the photograph.

    Args:
        map_01: (h, w) float array in [0, 1].
        size: (height, width) of the picture in pixels; the map is resized to it bilinearly.

    Returns:
        An RGB picture, in the colours of `heat_overlay` and `colour_bar`.

    Raises:
        ValueError: if the map is not two-dimensional or leaves [0, 1].
    """
    rgb = _coloured(_enlarged(map_01, size))[..., :3]
    return Image.fromarray(np.round(rgb * 255).astype(np.uint8), "RGB")


def colour_bar(height: int, low: str, high: str) -> Image.Image:
    """Return the scale of `heat_picture` on white: 0 at the bottom, 1 at the top, with a label at each end.

    Args:
        height: of the picture in pixels, at least 2.
        low: label of 0.
        high: label of 1.
    """
    font = ImageFont.load_default(max(12, height // 20))
    thickness, pad = max(8, height // 20), max(4, height // 60)
    words = round(max(font.getlength(low), font.getlength(high)))
    bar = Image.new("RGB", (thickness + 2 * pad + words, height), _PAPER)
    # One row for each pixel: a ramp enlarged from its two ends would be flat at both.
    bar.paste(heat_picture(np.linspace(1, 0, height)[:, None], (height, thickness)))
    draw = ImageDraw.Draw(bar)
    draw.text((thickness + pad, 0), high, fill=_INK, font=font, anchor="lt")
    draw.text((thickness + pad, height - 1), low, fill=_INK, font=font, anchor="lb")
    return bar


def _enlarged(map_01: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float64]:
    values = np.asarray(map_01, dtype=np.float32)
    if values.ndim != 2 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"a map of shape {values.shape}; expected (h, w) with values from 0 to 1")
    height, width = size
    resized = Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR)
    return np.clip(np.asarray(resized, dtype=np.float64), 0, 1)


def _coloured(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return RGBA of values from 0 to 1, opaque."""
    return colormaps[_RAMP](_RAMP_START + (1 - _RAMP_START) * values)


def composite(
    photo: Image.Image, map_01: NDArray[np.floating] | None, boxes: Sequence[DrawnBox] = ()
) -> Image.Image:
    """Return a photograph with its map and boxes drawn on it.

    Drawn in this order: other boxes, ground truth, detections, labels. Line widths scale with the image.

    Args:
        photo: any mode; it is not changed.
        map_01: (h, w) float array in [0, 1]; None for no map.
        boxes: in pixels of the photograph; boxes are clipped to it, and a box outside it is not drawn.

    Returns:
        An RGB picture of the photograph's size.
    """
    picture = photo.convert("RGB")
    if map_01 is not None:
        layer = heat_overlay(map_01, (photo.height, photo.width))
        picture = Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")
    unit = max(2, round(max(picture.size) / 180))
    order = list(_STROKES)
    visible = []
    for box in sorted(boxes, key=lambda box: order.index(box.role)):
        rectangle = _pixels(box, picture)
        if rectangle is not None:
            visible.append((box, rectangle))
            _draw_box(ImageDraw.Draw(picture), rectangle, _STROKES[box.role], unit)
    return _with_labels(picture, visible)


def thumbnail(image: Image.Image, longest: int) -> Image.Image:
    """Return a copy whose longer side has at most `longest` pixels; boxes are rescaled by the caller."""
    scale = min(1.0, longest / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS) if size != image.size else image.copy()


def encode_webp(image: Image.Image, quality: int = 80) -> bytes:
    """Return a picture as WebP, the same bytes for equal pixels and quality; transparency is kept.

    Args:
        image: RGB or RGBA.
        quality: from 0 to 100.
    """
    # Method 6 takes a hundred times as long for transparent layers, and saves nothing.
    return _encode(image, format="WEBP", quality=quality, method=5)


def encode_webp_within(image: Image.Image, budget: int, quality: int = 80) -> bytes:
    """Return a picture as WebP of at most `budget` bytes: the quality falls by fives until it fits.

    Args:
        image: RGB or RGBA.
        budget: in bytes; exceeded only if quality 5 does not fit.
        quality: from 5 to 100, the quality to begin with.
    """
    for tried in range(quality, 5, -5):
        encoded = encode_webp(image, tried)
        if len(encoded) <= budget:
            return encoded
    return encode_webp(image, 5)


def encode_png(image: Image.Image) -> bytes:
    """Return a picture as PNG, the same bytes for equal pixels."""
    return _encode(image, format="PNG")


def _encode(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    # Copy the pixels only: EXIF, colour profile and comments of the source are not written.
    Image.frombytes(image.mode, image.size, image.tobytes()).save(buffer, **options)
    return buffer.getvalue()


def side_by_side(pictures: Sequence[Image.Image], captions: Sequence[str] | None = None) -> Image.Image:
    """Return pictures in a row on white, scaled to the least height, each with its caption below.

    Args:
        pictures: at least one.
        captions: one for each picture; None for no strip of captions.

    Raises:
        ValueError: if there is no picture, or the numbers of captions and pictures differ.
    """
    if not pictures:
        raise ValueError("no pictures; expected at least one")
    if captions is not None and len(captions) != len(pictures):
        raise ValueError(f"{len(captions)} captions for {len(pictures)} pictures")
    height = min(picture.height for picture in pictures)
    scaled = [_with_height(picture.convert("RGB"), height) for picture in pictures]
    gutter = max(4, height // 50)
    font_size = max(12, height // 20)
    strip = 2 * font_size if captions is not None else 0
    width = sum(picture.width for picture in scaled) + gutter * (len(scaled) - 1)
    row = Image.new("RGB", (width, height + strip), _PAPER)
    draw, font = ImageDraw.Draw(row), _font(font_size)
    left = 0
    for index, picture in enumerate(scaled):
        row.paste(picture, (left, 0))
        if captions is not None:
            text = _fitting(captions[index], font, picture.width)
            draw.text((left, height + strip // 2), text, fill=_INK, font=font, anchor="lm")
        left += picture.width + gutter
    return row


def _with_height(picture: Image.Image, height: int) -> Image.Image:
    if picture.height == height:
        return picture
    width = max(1, round(picture.width * height / picture.height))
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _pixels(box: DrawnBox, picture: Image.Image) -> Rectangle | None:
    """Return a box in whole pixels (left, top, right, bottom, half-open); None if it is outside."""
    inside = clip(as_boxes([box.xyxy]), (picture.height, picture.width))[0]
    left, top, right, bottom = (round(float(side)) for side in inside)
    return (left, top, right, bottom) if right > left and bottom > top else None


def _draw_box(draw: ImageDraw.ImageDraw, rectangle: Rectangle, stroke: _Stroke, unit: int) -> None:
    """Draw the border of a rectangle along the inner side of its edge, on a dark halo one pixel wider."""
    width = max(1, round(unit * stroke.width))
    left, top, right, bottom = rectangle
    draw.rectangle((left, top, right - 1, bottom - 1), outline=_HALO, width=width + 1)
    draw.rectangle((left - 1, top - 1, right, bottom), outline=_HALO)
    for piece in _pieces(rectangle, width, stroke.dash):
        draw.rectangle(piece, fill=stroke.colour)


def _pieces(rectangle: Rectangle, width: int, dash: tuple[float, float] | None) -> Iterator[Rectangle]:
    """Yield the dashes of a rectangle's border, as rectangles with their last pixel included."""
    left, top, right, bottom = rectangle
    right, bottom = right - 1, bottom - 1
    for start, end in _dashes(left, right, width, dash):
        yield start, top, end, min(top + width - 1, bottom)
        yield start, max(bottom - width + 1, top), end, bottom
    for start, end in _dashes(top, bottom, width, dash):
        yield left, start, min(left + width - 1, right), end
        yield max(right - width + 1, left), start, right, end


def _dashes(start: int, end: int, width: int, dash: tuple[float, float] | None) -> list[tuple[int, int]]:
    """Divide start..end into dashes; the first begins and the last ends in a corner."""
    if dash is None:
        return [(start, end)]
    on, off = (max(1, round(part * width)) for part in dash)
    count = max(1, round((end - start + 1 - on) / (on + off)))
    starts = np.linspace(start, max(start, end - on + 1), count + 1).round().astype(int).tolist()
    return [(first, min(first + on - 1, end)) for first in starts]


def _with_labels(picture: Image.Image, boxes: Sequence[tuple[DrawnBox, Rectangle]]) -> Image.Image:
    """Return the picture with a label for each box, inside the picture and free of other labels."""
    font = _font(max(11, round(max(picture.size) / 34)))
    pad = max(2, round(font.size / 4))
    line = sum(font.getmetrics())
    taken: list[Rectangle] = []
    layer = Image.new("RGBA", picture.size, (*_HALO, 0))
    draw = ImageDraw.Draw(layer)
    for box, rectangle in boxes:
        text = _fitting(box.label, font, picture.width - 2 * pad)
        if not text:
            continue
        size = (round(font.getlength(text)) + 2 * pad, line + pad)
        plate = _place(rectangle, size, picture.size, taken)
        taken.append(plate)
        draw.rectangle((plate[0], plate[1], plate[2] - 1, plate[3] - 1), fill=(*_HALO, 215))
        middle = (plate[0] + pad, (plate[1] + plate[3]) / 2)
        draw.text(middle, text, fill=(*_STROKES[box.role].colour, 255), font=font, anchor="lm")
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB") if taken else picture


def _place(
    rectangle: Rectangle, size: tuple[int, int], picture_size: tuple[int, int], taken: Sequence[Rectangle]
) -> Rectangle:
    """Return the position of a label: the first free corner of its box, outside before inside."""
    left, top, right, bottom = rectangle
    width, height = size
    columns = (left, right - width)
    rows = (top - height, bottom, top, bottom - height)
    corners = [(x, y) for y in rows for x in columns]
    for corner in corners:
        plate = _moved_inside(corner, size, picture_size)
        # A label that moved up or down would cover the edge of its own box; a sideways move does not.
        if plate[1] == corner[1] and not any(_overlap(plate, other) for other in taken):
            return plate
    return _moved_inside(corners[0], size, picture_size)


def _moved_inside(corner: tuple[int, int], size: tuple[int, int], picture_size: tuple[int, int]) -> Rectangle:
    """Return the label at a corner, moved inside the picture by the smallest distance."""
    x, y = (max(0, min(at, whole - part)) for at, part, whole in zip(corner, size, picture_size, strict=True))
    return x, y, x + size[0], y + size[1]


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return Pillow's own scalable font; it needs FreeType, which every wheel of Pillow contains."""
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size))


def _fitting(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Return one line of text that is at most `width` pixels wide, shortened with dots if needed."""
    text = " ".join(text.split())[:_LONGEST_TEXT]
    if font.getlength(text) <= width:
        return text
    for length in range(len(text) - 1, 0, -1):
        short = text[:length].rstrip() + "..."
        if font.getlength(short) <= width:
            return short
    return ""
