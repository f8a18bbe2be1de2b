"""Further measurements, on which the verdict of the report depends."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from dogcam.structures.categories import FailureType
from report.record.base import Estimate, Fraction, Model
from report.record.files import GalleryName


class Pointing(Model):
    """The pointing game of the main method's maps against always pointing at the centre, paired."""

    map: Estimate = Field(description="share of target images in which the map's peak lies on a target")
    centre: Estimate
    difference: Estimate = Field(description="map minus centre, over the same images")
    n_on_target: int
    n_images: int


class Decision(Model):
    """The classifier as a yes-or-no answer per image, at probability one half."""

    majority_accuracy: Fraction = Field(description="accuracy of always giving the more frequent answer")
    majority_answer: Literal["target", "no target"]
    balanced_accuracy: Estimate
    true_positive_rate: Estimate
    false_positive_rate: Estimate | None = Field(description="null if every image shows the target")


class ScoreBin(Model):
    """Boxes and images whose score lies in one interval; the last interval includes its upper end."""

    low: Fraction
    high: Fraction
    n_boxes: int
    n_correct: int
    correct: Estimate = Field(description="share of correct boxes, with a Wilson interval")
    n_images: int = Field(description="images whose probability lies in the interval")
    n_target_images: int
    with_target: Estimate = Field(description="share of images that show the target, with a Wilson interval")


class ScoreMeaning(Model):
    """The meaning of the score of a box, at the operating point and above."""

    n_boxes: int
    n_equal: int = Field(description="boxes whose score is the image's probability itself")
    correlation: float | None = Field(description="Pearson's, of score and IoU with the best-fitting target")
    n_high: int = Field(description="boxes with a score of at least high_score")
    n_high_correct: int
    high_score: Fraction
    bins: list[ScoreBin]


class OverlapBin(Model):
    """Images with a target whose IoU lies in one interval."""

    low: Fraction
    high: Fraction
    n_map: int
    n_centre: int


class Overlaps(Model):
    """IoU of the top-scoring box with its best-fitting target, for the map and for the centre box."""

    n_images: int
    bins: list[OverlapBin]
    map_higher: Estimate = Field(description="share of images in which the map's box fits better")


class ApByIou(Model):
    """AP of one method at finer IoU thresholds."""

    method: str
    ap: list[Fraction | None]


class SizeCell(Model):
    """Targets of one size, alone in their image or not, at the operating point."""

    size: Literal["small", "medium", "large"]
    instances: Literal["one", "several"]
    n_objects: int
    n_found: int
    recall: Estimate = Field(description="with a Wilson interval")


class OtherClass(Model):
    """How many boxes on other objects have their map's peak on one class."""

    name: str
    n_boxes: int


class GradientCheck(Model):
    """Grad-CAM by plain automatic differentiation against the maps of the run."""

    n_images: int
    largest_difference: Fraction | None = Field(description="of the maps as fractions of their peaks")
    tolerance: float
    n_both_empty: int
    within: bool


class Head(Model):
    """The layer behind global average pooling."""

    type: str
    linear: bool = Field(description="one linear layer, so that CAM is defined")
    n_pooled: int | None = Field(
        description="classes of the original softmax whose probabilities are added up to that of the target"
    )
    n_outputs: int | None = Field(description="classes of the original softmax; null if none are pooled")


class Case(Model):
    """One failure, and the range of score thresholds at which it has this type."""

    image_id: str
    subject: Literal["detection", "ground_truth"]
    type: FailureType
    reason: str = Field(description="in words, for a reader of failures.csv")
    score: float | None
    iou: float | None
    area: Fraction = Field(description="share of the image: of the object, or of a box on no object")
    box: tuple[float, float, float, float] | None = Field(description="of the detection; xyxy in pixels")
    matched: tuple[float, float, float, float] | None = Field(description="of the object; xyxy in pixels")
    picture: GalleryName | None = Field(description="null for no failure at the operating point")
    first: int = Field(description="index into levels: the lowest threshold")
    last: int = Field(description="index into levels: the highest threshold")


class FurtherMeasurements(Model):
    """Further measurements on the reported split."""

    pointing: Pointing
    decision: Decision
    score: ScoreMeaning
    overlaps: Overlaps
    fine_iou_thresholds: list[Fraction]
    fine_ap: list[ApByIou]
    cells: list[SizeCell]
    other_classes: list[OtherClass]
    gradient_check: GradientCheck
    head: Head
    levels: list[float] = Field(description="score thresholds at which failures are typed, ascending")
    cases: list[Case]


class GridCell(Model):
    """One map on one image."""

    method: str
    map: GalleryName
    box: tuple[float, float, float, float] | None
    iou: Fraction


class GridRow(Model):
    """One image under every method pictured."""

    image_id: str
    picked: Literal["best", "median", "worst"] = Field(description="by the top-scoring box's IoU")
    photo: GalleryName
    composite: GalleryName
    height: int
    width: int
    truths: list[tuple[float, float, float, float]]
    cells: list[GridCell]


class Randomised(Model):
    """The map of one image while layers are permuted from the head down."""

    layer: str | None = Field(description="the lowest permuted layer; null for the trained network")
    share_of_parameters: Fraction
    map: GalleryName | None = Field(description="null for a map that is zero everywhere")


class RandomisedExample(Model):
    """One image and its maps at every depth of the permutation."""

    image_id: str
    photo: GalleryName
    composite: GalleryName
    height: int
    width: int
    steps: list[Randomised]


class MaskExample(Model):
    """One image with its annotated mask and its pseudo-mask."""

    image_id: str
    picked: Literal["best", "median", "worst"]
    picked_from: int = Field(description="images whose pseudo-masks were compared")
    iou: Fraction
    photo: GalleryName
    truth: GalleryName
    grown: GalleryName
    composite: GalleryName
    height: int
    width: int


class Pictures(Model):
    """Pictures selected by rule that are not in the gallery."""

    grid: list[GridRow]
    randomised: RandomisedExample | None
    masks: list[MaskExample]

    def named(self) -> Iterator[str | None]:
        """Yield the name of every picture."""
        for row in self.grid:
            yield from (row.photo, row.composite, *(cell.map for cell in row.cells))
        if self.randomised:
            yield from (self.randomised.photo, self.randomised.composite)
            yield from (step.map for step in self.randomised.steps)
        for each in self.masks:
            yield from (each.photo, each.truth, each.grown, each.composite)
