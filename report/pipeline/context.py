"""What every stage is given: settings, data, classifier, and the outputs of the stages before it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from PIL import Image
from torch import Tensor

from dogcam.data.images import read_pixels
from dogcam.files.states import Sources
from dogcam.models.classifier import Classifier
from dogcam.structures.images import LabelledImage, Split
from report.config import RunConfig
from report.pipeline.engines import Engine

Item = TypeVar("Item")


class Progress(Protocol):
    """How a stage tells how far it is."""

    def track(self, items: Iterable[Item], total: int, description: str, step: int = 1) -> Iterable[Item]:
        """Pass the items on, counting `step` units of `total` for each."""

    def say(self, message: str) -> None:
        """Tell something that the user has to know."""

    def stage_began(self, title: str) -> None:
        """Name the stage that begins now."""


class Silent:
    """A Progress that says nothing."""

    def track(self, items: Iterable[Item], total: int, description: str, step: int = 1) -> Iterable[Item]:
        """Pass the items on."""
        return items

    def say(self, message: str) -> None:
        """Keep it."""

    def stage_began(self, title: str) -> None:
        """Keep it."""


@dataclass(frozen=True)
class Context:
    """What a stage works on.

    Attributes:
        config: the settings of the run.
        folder: the run's folder.
        reported: the images that are reported on.
        tuning: the images that thresholds are chosen on; None where there are none.
        classifier: the network, in evaluation mode.
        progress: where to tell how far the stage is.
        outputs: what each earlier stage returned, by its name.
        workspace: the stage's own folder for what is too large for its output.
        cache: where what was downloaded or exported is kept for other runs.
        sources: the images, as they were when the run began.
        pool: processes for functions of single images; None to compute in this one.
        engine: workers for functions of the classifier; None to compute in this process.
        memo: what stages of one run share, computed once; see `once`.
    """

    config: RunConfig
    folder: Path
    reported: Split
    tuning: Split | None
    classifier: Classifier
    progress: Progress = field(default_factory=Silent)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    workspace: Path = Path()
    cache: Path = Path()
    sources: Sources = field(default_factory=Sources)
    pool: Executor | None = None
    engine: Engine | None = None
    memo: dict[tuple[object, ...], Any] = field(default_factory=dict)

    @property
    def target(self) -> int:
        """The index of the target class among the logits."""
        return self.classifier.index_of(self.config.target)

    @property
    def several(self) -> tuple[int, ...]:
        """The indices of the classes that are measured among the logits; none for a single target."""
        return tuple(self.classifier.index_of(name) for name in self.config.several)

    @property
    def map_workers(self) -> Executor | None:
        """Where maps become boxes: on the machines that run the network, if there are others."""
        return self.engine.executor if self.engine is not None and self.engine.remote else self.pool

    def once(self, key: tuple[object, ...], compute: Callable[[], Item]) -> Item:
        """Return what was computed under a key before in this run, else compute it."""
        if key not in self.memo:
            self.memo[key] = compute()
        return self.memo[key]

    @property
    def splits(self) -> dict[str, Split]:
        """The splits that predictions are made on, by their role."""
        splits = {"reported": self.reported}
        return splits if self.tuning is None else splits | {"tuning": self.tuning}

    def in_batches(self, images: Sequence[LabelledImage]) -> list[Sequence[LabelledImage]]:
        """Return images in the parts that the network is given at once."""
        size = self.config.batch_size
        return [images[start : start + size] for start in range(0, len(images), size)]

    def read(self, image: LabelledImage) -> Image.Image:
        """Read an image for the network: a large JPEG is decoded no larger than the network needs."""
        return read_pixels(image, self.classifier.least_side)

    def input_of(self, images: Sequence[LabelledImage]) -> Tensor:
        """Return images as the network's input: (N, 3, H, W) float tensor."""
        return self.classifier.batch([self.read(image) for image in images])

    def has_target(self, image: LabelledImage) -> bool:
        """Whether the target class is annotated in the image."""
        return self.config.target in image.labels
