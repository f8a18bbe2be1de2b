"""What is drawn."""

from collections.abc import Iterator

from pydantic import Field

from report.record.base import Model
from report.record.files import FigureName


class Figure(Model):
    """A drawing or picture of the report, with its text alternative."""

    name: str
    path: FigureName = Field(description="an SVG that follows the page's colours")
    standalone: FigureName = Field(description="the same on white, with fixed colours")
    dark: FigureName = Field(description="the same for a dark page")
    narrow: FigureName | None = Field(None, description="for a narrow page; None if `path` fits it")
    alt: str

    def files(self) -> Iterator[str]:
        """Yield the names of its files, each once: a picture has one for all."""
        yield from dict.fromkeys(filter(None, (self.path, self.standalone, self.dark, self.narrow)))
