"""The settings of the training of a localiser."""

from typing import Annotated

from pydantic import Field

from dogcam.train.config import Count, NonNegative, Positive
from dogcam.train.settings import Settings


class LocaliserConfig(Settings):
    """The settings; the defaults were chosen on VOC2007 train (docs/boxes.md).

    Attributes:
        epochs: number of epochs.
        batch_size: images per update of the weights.
        learning_rate: before the schedule, which rises in a tenth of the epochs and falls along a cosine.
        weight_decay: of AdamW.
        seed: of mosaics, order and initial weights.
        mosaics: composites of pseudo-boxes for each image that has one.
        width: channels of the network, a multiple of 8.
        components: components of the activations of a layer that the network uses, at most.
        scale: of the view, as a multiple of the classifier's input side.
        least_fit: a pseudo-box fits the evidence at least so well.
        relative_fit: the same, relative to the best box of its class in the image.
    """

    epochs: Count = 8
    batch_size: Count = 16
    learning_rate: Positive = 2e-3
    weight_decay: NonNegative = 0.02
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 18
    mosaics: NonNegative = 0.8
    width: Annotated[int, Field(gt=0, multiple_of=8)] = 64
    components: Count = 256
    scale: Positive = 1.75
    least_fit: NonNegative = 0.3
    relative_fit: Annotated[float, Field(ge=0, le=1)] = 0.8
