"""What is drawn."""

from pydantic import Field

from report.record.base import Model


class Figure(Model):
    """A drawing or picture of the report, with its text alternative."""

    name: str
    path: str = Field(description="in the run's folder; an SVG that follows the page's colours, or a WebP")
    standalone: str = Field(description="the same for the Markdown twin: on white, with fixed colours")
    alt: str
