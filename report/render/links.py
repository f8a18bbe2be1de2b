"""The addresses of headings, and links within a report to what it holds."""

import html
import re
from urllib.parse import unquote

from report.render.trace import without_marks

_ID = re.compile(r'<\w[^<>]*?\sid="([^"]*)"')
_LINK = re.compile(
    r'<(script|style)\b.*?</\1>|<a\b[^>]*\shref="#(?P<anchor>[^"]*)"[^>]*>(?P<words>.*?)</a>', re.DOTALL
)
_MARKDOWN_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_MARKDOWN_LINK = re.compile(
    # Code is passed over.
    r"^```.*?^```|(?<!\\)`[^`\n]+`"
    r"|(?<![\\!])\[(?P<words>(?:\\.|[^\]\\])*)\]\(#(?P<anchor>[^)\s]*)\)",
    re.DOTALL | re.MULTILINE,
)


def anchor_of(title: str) -> str:
    """Return the address of a heading within the page, as code hosts derive it from the words."""
    words = re.sub(r"<[^>]*>|[^\w\s-]", "", without_marks(title).lower())
    return re.sub(r"\s+", "-", words.strip())


def page_without_dead_links(text: str) -> str:
    """Replace the links of an HTML page to omitted sections by their words."""
    return _without_dead_links(text, _LINK, set(_ID.findall(text)))


def markdown_without_dead_links(text: str) -> str:
    """Replace the links of a Markdown report to omitted sections by their words."""
    anchors = {anchor_of(heading) for heading in _MARKDOWN_HEADING.findall(text)}
    return _without_dead_links(text, _MARKDOWN_LINK, anchors)


def _without_dead_links(text: str, link: re.Pattern[str], anchors: set[str]) -> str:
    def keep(match: re.Match) -> str:
        # After the anchor, the page keeps the choices of its reader: `#failure-gallery&type=missed`.
        anchor = unquote(html.unescape(match["anchor"] or "")).split("&")[0]
        return match[0] if not anchor or "=" in anchor or anchor in anchors else match["words"]

    return link.sub(keep, text)
