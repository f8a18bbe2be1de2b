"""The settings of a run: one frozen, validated RunConfig."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from dogcam.errors import ConfigError
from dogcam.files import printable
from dogcam.structures import defaults
from dogcam.structures.backends import BackendName
from dogcam.structures.presets import LOCALISER, PRESET_NAMES, PUBLISHED, PresetName
from dogcam.structures.rules import BadBoxes, OnError, ReadRules

OpenFraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(gt=0)]

DATA_SETS = ("sample", "voc2007")
"""The data sets that the program has under a name."""

ALL = "all"
"""The target that stands for every annotated class that the classifier knows, or the preset for all."""

TUNING_LIMIT = 1000
"""Number of images of the tuning split, from the start of its list, if none is stated."""

VOC2007_LIMIT = 500
"""Number of images of the published experiment, which are taken of `voc2007` if none is stated."""

REFERENCE: Literal["reference"] = "reference"
Treatment = Literal["counted", "ignored"]
"""Treatment of objects with a flag, and of the boxes on them."""

AUTO: Literal["auto"] = "auto"
MapSource = Literal["reference", "auto", BackendName]
"""The reference implementation, `dogcam.cam`, the fastest exact backend, or one of `dogcam.backends`."""


EngineName = Literal["local", "ray"]
"""Where the network of a run is computed; not a setting, because it changes no number."""


class RunConfig(BaseModel):
    """The settings of a run; they are part of its record.

    Attributes:
        data: `sample` (rendered), `voc2007` (downloaded), or a data set in any known format, by path or URL.
        split: the split that is reported on.
        tuning_split: the split on which thresholds are chosen; None for the other split of the data set.
        limit: number of images of the split, from the start of its list.
        tuning_limit: the same for the tuning split.
        on_bad_box: treatment of boxes that are empty or extend beyond their image.
        on_error: treatment of images with a fault: the run fails with a list of all, or skips them.
        difficult: objects marked difficult are counted like any other, or ignored with the boxes on them.
        crowd: the same for boxes around crowds.
        target: the class that is detected; of several, the main one, to which most sections refer. `all`
            stands for the class with the most objects until the data is read.
        targets: the classes that are measured, in the order of the report; none for the target alone.
        model: the network, by any name that `dogcam train` accepts; None for the one in the card of the
            checkpoint.
        checkpoint: file of the weights of the network; None for those that its library provides.
        classes: names of the outputs in their order, for a checkpoint without a card; none for the card's.
        activation: of the head, for a checkpoint whose card does not state it.
        pools: outputs to pool, as `dogcam.models.pools.parse_pools` reads them; none for the default.
        cam_threshold: None to choose it on the tuning split.
        presets: detection presets to compare, in their order; `published` is one of them if there are any.
        localiser: file of `dogcam train-localiser`, for the preset of that name; None if it is not compared.
        precision: least precision of the operating point on the tuning split; None for the best F1.
        iou_thresholds: of AP and recall; the operating point uses the last.
        backend: computes the maps of the target layer; maps of an earlier layer are always the reference's.
        batch_size: number of images in a forward pass.
        device: the device of the network, or `auto`.
        n_resamples: number of bootstrap resamples.
        confidence_level: of the intervals.
        seed: random seed of the bootstrap, and of the random choices of the gallery.
        per_type: number of images that the gallery shows of each failure type.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str = "sample"
    split: str = "test"
    tuning_split: str | None = None
    limit: Count | None = None
    tuning_limit: Count | None = None
    on_bad_box: BadBoxes = "refuse"
    on_error: OnError = "fail"
    difficult: Treatment = "counted"
    crowd: Treatment = "ignored"
    target: str = defaults.TARGET
    targets: tuple[str, ...] = ()
    model: Annotated[str, Field(min_length=1)] | None = "sample_net"
    checkpoint: str | None = None
    classes: tuple[str, ...] = ()
    activation: Literal["sigmoid", "softmax"] | None = None
    pools: tuple[str, ...] = ()
    cam_threshold: OpenFraction | None = None
    presets: tuple[PresetName, ...] = ()
    localiser: str | None = None
    precision: OpenFraction | None = None
    iou_thresholds: tuple[OpenFraction, ...] = defaults.IOU_THRESHOLDS
    backend: MapSource = REFERENCE
    batch_size: Count = defaults.BATCH_SIZE
    device: str = "auto"
    n_resamples: Annotated[int, Field(ge=100)] = defaults.N_RESAMPLES
    confidence_level: OpenFraction = defaults.CONFIDENCE_LEVEL
    seed: Annotated[int, Field(ge=0, lt=2**63)] = defaults.RESAMPLE_SEED
    per_type: Count = 4

    @field_validator("iou_thresholds")
    @classmethod
    def _increasing(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not values or list(values) != sorted(set(values)):
            raise ValueError("expected one or more IoU thresholds in increasing order")
        return values

    @field_validator("presets")
    @classmethod
    def _with_published(cls, values: tuple[PresetName, ...]) -> tuple[PresetName, ...]:
        return tuple(name for name in PRESET_NAMES if name in values or (values and name == PUBLISHED))

    @model_validator(mode="after")
    def _localiser_for_preset(self) -> "RunConfig":
        if (LOCALISER in self.presets) != (self.localiser is not None):
            raise ValueError(
                "the preset `localiser` and the file of a localiser were not given together; expected "
                "--localiser FILE, which dogcam train-localiser writes"
            )
        return self

    @model_validator(mode="after")
    def _tuning_apart(self) -> "RunConfig":
        if self.tuning_split == self.split:
            raise ValueError(
                f"the split {self.split!r} cannot serve for tuning and for reporting; "
                "name another tuning split"
            )
        return self

    def without_paths(self) -> "RunConfig":
        """Return the settings of the record: with names of files and folders instead of paths."""
        names = {
            name: printable(Path(path).name) if path else None
            for name, path in (("checkpoint", self.checkpoint), ("localiser", self.localiser))
        }
        pools = tuple(_without_path(pool) for pool in self.pools)
        return self.model_copy(update={"data": self.data_name, "pools": pools, **names})

    @property
    def several(self) -> tuple[str, ...]:
        """The classes that are measured if there are several; else none."""
        return self.targets if len(self.targets) > 1 else ()

    @property
    def read_rules(self) -> ReadRules:
        """The treatment of the faults of the data set."""
        return ReadRules(self.on_bad_box, self.on_error)

    @property
    def kind(self) -> Literal["sample", "voc2007", "folder"]:
        """The kind of data set that `data` names."""
        return cast(Literal["sample", "voc2007"], self.data) if self.data in DATA_SETS else "folder"

    @property
    def data_name(self) -> str:
        """The name of the data set in the report, which is never a path."""
        return printable(Path(self.data).resolve().name) if self.kind == "folder" else self.data


def _without_path(pool: str) -> str:
    """Return a pool whose file, if it names one, has no path."""
    name, equals, members = pool.partition("=")
    return f"{name}{equals}{printable(Path(members).name) if Path(members).is_file() else members}"


def with_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with the defaults that depend on the data and on the targets.

    Args:
        given: fields of `RunConfig`; `targets` holds all requested classes, `main_target` the main one,
            if any, and `presets` may hold `all`.

    Raises:
        ConfigError: if the main target is not among the targets.
    """
    settings = {name: value for name, value in given.items() if name != "main_target"}
    targets, main = tuple(dict.fromkeys(given.get("targets") or (defaults.TARGET,))), given.get("main_target")
    if main and ALL not in targets and main not in targets:
        raise ConfigError(f"the main target {main!r} is not among the targets {', '.join(targets)}")
    settings["target"] = main or (ALL if ALL in targets else targets[0])
    settings["targets"] = targets if len(targets) > 1 or ALL in targets else ()
    kind = settings["data"] if settings["data"] in DATA_SETS else "folder"
    settings.setdefault("split", "val" if kind == "folder" else "test")
    if "checkpoint" in settings:
        settings["checkpoint"] = str(settings["checkpoint"])
        settings.setdefault("model", None)
    settings.setdefault("model", "sample_net" if kind == "sample" else "resnet50")
    presets = given.get("presets", ())
    if ALL in presets:
        presets = tuple(name for name in PRESET_NAMES if name != LOCALISER)
    if "localiser" in settings:
        settings["localiser"] = str(settings["localiser"])
        presets = (*presets, LOCALISER)
    settings["presets"] = tuple(presets)
    settings.setdefault("tuning_limit", TUNING_LIMIT)
    if kind == "voc2007":
        settings.setdefault("limit", VOC2007_LIMIT)
    return settings


def make_config(**settings: object) -> RunConfig:
    """Build a RunConfig from the settings that are given.

    Raises:
        ConfigError: if a setting has an invalid value; the message names it.
    """
    try:
        return RunConfig(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        found = f" (found {first['input']!r})" if name else ""
        raise ConfigError(f"{name + ': ' if name else ''}{message}{found}") from error
