"""The data of a training: both splits, the classes, and the preprocessing of the network."""

from dataclasses import asdict, dataclass
from typing import Any

from dogcam.errors import ConfigError
from dogcam.models.preprocessing import Preprocessing
from dogcam.structures.images import Split


@dataclass(frozen=True)
class TrainingData:
    """The images of a training and what the network is trained to predict for them.

    Attributes:
        classes: C names in the order of the logits.
        train: images to train on.
        evaluation: images on which average precision is measured after each epoch.
        preprocessing: input of the network in evaluation; training images are normalised in the same way.

    Raises:
        ConfigError: if a class cannot be trained or evaluated, or the splits share images.
    """

    classes: tuple[str, ...]
    train: Split
    evaluation: Split
    preprocessing: Preprocessing

    def __post_init__(self) -> None:
        _require_classes(self.classes, self.train, self.evaluation)
        shared = {image.path for image in self.train.images} & {
            image.path for image in self.evaluation.images
        }
        if shared:
            raise ConfigError(
                f"the splits {self.train.name!r} and {self.evaluation.name!r} share {len(shared)} images "
                f"({min(shared).stem}, ...); choose splits without common images"
            )

    def describe(self) -> dict[str, Any]:
        """Return what identifies the data, as plain values for JSON."""
        return {
            "classes": list(self.classes),
            "training images": self.train.manifest,
            "evaluation images": self.evaluation.manifest,
            "preprocessing": {name: list(value) for name, value in asdict(self.preprocessing).items()},
        }


def _require_classes(classes: tuple[str, ...], train: Split, evaluation: Split) -> None:
    if not classes or len(set(classes)) != len(classes):
        raise ConfigError(f"the classes are {list(classes)}; expected one or more different names")
    shown = train.class_names()
    unseen = [name for name in classes if name not in shown]
    if unseen:
        raise ConfigError(
            f"no image of {train.name!r} shows {', '.join(unseen)}; remove the class, or train on more "
            f"images. The classes of this split are {', '.join(shown) or 'none'}"
        )
    if not set(classes) & set(evaluation.class_names()):
        raise ConfigError(
            f"no image of {evaluation.name!r} shows any of {', '.join(classes)}; choose another "
            "evaluation split"
        )
