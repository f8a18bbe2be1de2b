"""What is drawn."""

from pydantic import Field

from report.record.base import Model
from report.record.files import FigureName


class Figure(Model):
    """A drawing or picture of the report, with its text alternative."""

    name: str
    path: FigureName = Field(description="an SVG that follows the page's colours")
    standalone: FigureName = Field(description="the same on white, with fixed colours")
    dark: FigureName = Field(description="the same for a dark page")
    alt: str
