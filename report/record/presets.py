"""Detection presets: what they find, and the ablation from the published method to the fullest preset."""

from pydantic import Field

from report.record.base import Estimate, Fraction, Model
from report.record.detection import ThresholdRow


class UnavailablePreset(Model):
    """A preset that the network cannot run, and why."""

    name: str
    reason: str


class StepRow(Model):
    """One step of the ablation at one IoU threshold."""

    iou: Fraction
    ap: Estimate
    difference: Estimate | None = Field(description="paired, from the first step; null for the first")
    gain: Estimate | None = Field(description="paired, from the step before; null for the first")


class AblationStep(Model):
    """One step: everything up to and with what it adds."""

    name: str
    title: str
    rows: list[StepRow]
    seconds: float = Field(
        description="mean processor time of an image, forward passes included, reading excluded"
    )


class PresetGroup(Model):
    """Objects of one kind, and how many of them a box of any score finds."""

    name: str
    n_objects: int
    n_found: int


class MeasuredPreset(Model):
    """What a preset finds, at the IoU of the operating point.

    AP at all IoU thresholds is in `detection.methods`, under the name of the preset.
    """

    name: str
    title: str
    seconds: float = Field(
        description="mean processor time of an image, forward passes included, reading excluded"
    )
    point: ThresholdRow
    correlation: float | None = Field(
        description="of score and IoU, over the highest-scored boxes of images that reach the operating point"
    )
    n_high: int = Field(description="boxes with a score of at least high_score")
    n_high_correct: int
    groups: list[PresetGroup]


class PresetMean(Model):
    """Mean AP over the classes of a preset at one IoU threshold."""

    name: str
    iou: Fraction
    ap: Estimate
    difference: Estimate | None = Field(description="paired, from the published method; null for itself")


class PresetClass(Model):
    """One class at the IoU of the operating point: the AP of each preset, in their order."""

    name: str
    n_objects: int
    ap: list[Estimate]


class Presets(Model):
    """The presets of a run."""

    iou: Fraction = Field(description="of the operating points")
    chosen_on: str | None = Field(
        description="split on which each score threshold has the best F1; null for the default threshold"
    )
    high_score: Fraction = Field(description="score from which the share of correct boxes is stated")
    unavailable: list[UnavailablePreset]
    not_dense: str | None = Field(description="why views have the plain resolution; null if they are dense")
    measured: list[MeasuredPreset]
    ablated: str | None = Field(description="the preset that the steps lead to; null without steps")
    steps: list[AblationStep]
    mean_ap: list[PresetMean] = Field(description="none for a single class")
    classes: list[PresetClass] = Field(description="none for a single class")
