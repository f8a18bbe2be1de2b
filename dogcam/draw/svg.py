"""Figures as SVG text: the same bytes every time, safe to inline, in the colours of the page around them."""

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, get_args

from matplotlib import style
from matplotlib.figure import Figure

Theme = Literal["page", "standalone", "dark"]

INK, MUTED, GRID, PAPER = "#1b1f24", "#59636e", "#d8dee4", "#ffffff"

# Chosen by search: any two differ by CIE76 dE > 19, also as seen with protanopia and deuteranopia, and each
# has a contrast of 3 or more on white.
SERIES = ("#0072b2", "#d55e00", "#009175", "#7a2a78", "#6b4a00", "#3a4048")

VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid", PAPER: "--paper"} | {
    colour: f"--series-{number}" for number, colour in enumerate(SERIES, start=1)
}
"""The CSS variable that stands for each colour: a figure may use these colours and no others."""

DARK = dict(
    zip(
        (INK, MUTED, GRID, PAPER, *SERIES),
        ("#e6edf3", "#9aa4af", "#2a323b", "#0d1117",
         "#58a6e8", "#f0803c", "#1fae8a", "#e8a0d0", "#f5dc78", "#e6edf3"),
        strict=True,
    )
)  # fmt: skip
"""The colour on a dark page for each colour of the palette; the page's style sheet has the same."""

_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.facecolor": "none",
    "font.size": 10,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "legend.handlelength": 2.8,
    "legend.labelcolor": INK,
    # Half a pixel of tolerance: sawtooth curves with thousands of corners come out small.
    "path.simplify_threshold": 0.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "dogcam",
    "text.color": INK,
    # A class may be called `$x$`: labels are text, never mathematics.
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelsize": 9,
    "xtick.major.size": 0,
    "ytick.color": MUTED,
    "ytick.labelsize": 9,
    "ytick.major.size": 0,
}

_SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_PX_PER_PT = 4 / 3
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


@contextmanager
def drawing_style() -> Iterator[None]:
    """Draw in the house style, whatever this machine's matplotlibrc says; also usable as a decorator."""
    with style.context(["default", _STYLE]):
        yield


def to_svg(figure: Figure, *, name: str, alt: str, theme: Theme = "page") -> str:
    """Return a figure as SVG text in one theme; see `to_svgs`."""
    if theme not in get_args(Theme):
        raise ValueError(f"theme {theme!r}; expected one of {', '.join(get_args(Theme))}")
    return to_svgs(figure, name=name, alt=alt, themes=(theme,))[theme]


def to_svgs(figure: Figure, *, name: str, alt: str, themes: Sequence[Theme]) -> dict[Theme, str]:
    """Return a figure as SVG text in several themes; it is drawn once.

    Args:
        figure: drawn in `drawing_style`, with no colours but those of `VARIABLES`.
        name: what the ids begin with; it must differ between figures on one page.
        alt: what the figure shows, in words, for readers who do not see it.
        themes: `page` to inline it in HTML (transparent, colours from the page's CSS variables, font of the
            page, as wide as its column but not wider than drawn); `standalone` for a file of its own on
            white; `dark` for one on a dark page.

    Returns:
        For each theme one `<svg>` element without XML declaration; equal figures give equal text.

    Raises:
        ValueError: if the name cannot begin an id or the figure has a colour that is not in the palette.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot begin an id; expected a letter, then letters, digits, - and _")
    root = ET.fromstring(_render(figure))
    _drop_namespaces(root)
    _drop_global_css(root)
    _hoist_marker_style(root)
    _number_ids(root, name)
    for element in root.iter():
        _round_numbers(element)
    styled = [(element, _without_families(element)) for element in root.iter() if "style" in element.attrib]
    view_box, children = root.get("viewBox", ""), list(root)
    texts: dict[Theme, str] = {}
    for theme in themes:
        for element, declarations in styled:
            element.set("style", _themed_style(declarations, theme))
        root[:] = children
        _frame(root, view_box, alt, theme)
        ET.indent(root, space="")
        texts[theme] = ET.tostring(root, encoding="unicode") + "\n"
    return texts


def _render(figure: Figure) -> bytes:
    """Return matplotlib's own SVG, without date, program and licence terms of a vocabulary."""
    buffer = io.BytesIO()
    no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with drawing_style():
        figure.savefig(buffer, format="svg", metadata=no_metadata, facecolor="none")
    return buffer.getvalue()


def _drop_namespaces(root: ET.Element) -> None:
    """Make `{namespace}tag` plain and `xlink:href` the `href` of SVG 2; the root names the one namespace."""
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for key in [key for key in element.attrib if "}" in key]:
            element.set(key.rpartition("}")[2], element.attrib.pop(key))


def _drop_global_css(root: ET.Element) -> None:
    """Remove matplotlib's `<style>`: in an inlined SVG its selector `*` would style the whole page."""
    for parent in list(root.iter()):
        for child in parent.findall("style"):
            parent.remove(child)
    for parent in list(root.iter()):
        for child in [child for child in parent.findall("defs") if not len(child)]:
            parent.remove(child)


def _hoist_marker_style(root: ET.Element) -> None:
    """Say the style of a run of markers once, on their group: they inherit it, and the file halves."""
    for group in root.iter("g"):
        styles = {child.get("style") for child in group if child.tag == "use"}
        style = styles.pop() if len(styles) == 1 else None
        if style is not None and all(child.tag == "use" for child in group):
            group.set("style", style)
            for child in group:
                del child.attrib["style"]


def _number_ids(root: ET.Element, name: str) -> None:
    """Rename the ids that are referred to `name-1`, `name-2`, ..., and drop the others."""
    referred = set()
    for element in root.iter():
        for key, value in element.attrib.items():
            referred.update(_REFERENCE.findall(value))
            if key == "href":
                referred.add(value.removeprefix("#"))
    new_ids: dict[str, str] = {}
    for element in root.iter():
        old = element.attrib.pop("id", None)
        if old is not None and old in referred:
            new_ids[old] = f"{name}-{len(new_ids) + 1}"
            element.set("id", new_ids[old])
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "href":
                element.set(key, f"#{new_ids[value.removeprefix('#')]}")
            elif key in ("clip-path", "style"):
                element.set(key, _REFERENCE.sub(lambda match: f"url(#{new_ids[match[1]]})", value))


def _without_families(element: ET.Element) -> str:
    """Return the style of an element without font families: those of the page are inherited."""
    declarations = [part.strip() for part in element.attrib["style"].split(";") if part.strip()]
    return "; ".join(_without_family(part) for part in declarations if not part.startswith("font-family"))


def _without_family(declaration: str) -> str:
    """Turn the shorthand `font: bold 10px 'A', 'B'` into size and weight, so that the family is inherited."""
    match = re.fullmatch(r"font:\s*(?:(\w+)\s+)?([\d.]+px)\s.*", declaration)
    if not match:
        return declaration
    return f"font-size: {match[2]}" + (f"; font-weight: {match[1]}" if match[1] else "")


def _themed_style(declarations: str, theme: Theme) -> str:
    """Return declarations with the colours of a theme."""
    return _COLOUR.sub(lambda match: _themed(match[0], theme), declarations)


def _themed(colour: str, theme: Theme) -> str:
    """Return a colour of the palette as CSS."""
    try:
        variable = VARIABLES[colour.lower()]
    except KeyError:
        raise ValueError(f"colour {colour} is none of the palette's: {', '.join(VARIABLES)}") from None
    if theme == "page":
        return f"var({variable}, {colour})"
    return DARK[colour.lower()] if theme == "dark" else colour


def _round_numbers(element: ET.Element) -> None:
    """Round coordinates to a hundredth of a point and put a path on one line."""
    for key in {"d", "x", "y", "width", "height", "transform"} & element.attrib.keys():
        short = _LONG_NUMBER.sub(lambda match: f"{round(float(match[0]), 2) + 0.0:g}", element.attrib[key])
        element.set(key, " ".join(short.split()))


def _frame(root: ET.Element, view_box: str, alt: str, theme: Theme) -> None:
    """Give the root its size, its words and the line style that the removed CSS gave."""
    width, height = (float(part) * _PX_PER_PT for part in view_box.split()[2:])
    root.attrib.clear()
    root.set("xmlns", "http://www.w3.org/2000/svg")
    root.set("viewBox", view_box)
    root.set("role", "img")
    root.set("aria-label", alt)
    if theme == "page":
        css = f"width: 100%; max-width: {width:.0f}px; height: auto; font-family: inherit"
    else:
        paper = {"width": "100%", "height": "100%", "fill": _themed(PAPER, theme)}
        root.insert(0, ET.Element("rect", paper))
        root.set("width", f"{width:.0f}")
        root.set("height", f"{height:.0f}")
        css = f"font-family: {_SANS}"
    root.set("style", f"{css}; stroke-linejoin: round; stroke-linecap: butt")
