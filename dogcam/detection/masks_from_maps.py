"""Masks from class activation maps: confident pixels become seeds, and seeds grow to pseudo-masks."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array, csc_array
from scipy.sparse.linalg import splu

BACKGROUND, OBJECT, UNDECIDED = 0, 1, 255
"""The values of seeds; a mask has only the first two."""

_WEAKEST_EDGE = 1e-6
"""Least weight of an edge. Without it, a region could be disconnected from all seeds and the equations would
be singular."""

Mask = NDArray[np.uint8]


def seeds(heat: NDArray[np.floating], cam_threshold: float, background_threshold: float) -> Mask:
    """Mark the confident pixels of a heat map.

    Args:
        heat: (H, W) float array in [0, 1], from `boxes_from_maps.heat_map`.
        cam_threshold: pixels with at least this heat are OBJECT.
        background_threshold: pixels below this heat are BACKGROUND; at most `cam_threshold`.

    Returns:
        (H, W) uint8 array of OBJECT, BACKGROUND and, in between, UNDECIDED.

    Raises:
        ValueError: if the thresholds are out of order or range.
    """
    if not 0 <= background_threshold <= cam_threshold <= 1:
        raise ValueError(
            f"background_threshold is {background_threshold} and cam_threshold {cam_threshold}; expected "
            "0 <= background_threshold <= cam_threshold <= 1"
        )
    marks = np.full(heat.shape, UNDECIDED, dtype=np.uint8)
    marks[heat < background_threshold] = BACKGROUND
    marks[heat >= cam_threshold] = OBJECT
    return marks


class Walker:
    """Grows seeds on one image by random walks; what depends on the image alone is computed once.

    The walker steps between neighbouring pixels and avoids steps across a change of colour. It walks on a
    small copy of the image. Its probabilities are resized to the image.

    Args:
        image: (H, W, 3) uint8 array, RGB.
        edge_sensitivity: cost of colour changes, see `edge_weights`; 0 for none.
        working_side: longest side of the small copy, in pixels.
    """

    def __init__(
        self, image: NDArray[np.uint8], *, edge_sensitivity: float = 8.0, working_side: int = 64
    ) -> None:
        self._image, self._edge_sensitivity = image, edge_sensitivity
        self._small = _small_size(image.shape, working_side)

    @cached_property
    def _weights(self) -> "EdgeWeights":
        small = Image.fromarray(self._image).resize(self._small[::-1], Image.Resampling.BOX)
        return edge_weights(np.asarray(small, dtype=np.float64), self._edge_sensitivity)

    def grow(self, marks: Mask) -> Mask:
        """Assign the undecided pixels to the seeds that a random walker reaches first (Grady 2006).

        Args:
            marks: (H, W) uint8 array, from `seeds`.

        Returns:
            (H, W) uint8 array of BACKGROUND and OBJECT, equal to `marks` at the seeds. If all seeds have one
            value, all pixels get it; without seeds, all pixels are BACKGROUND.

        Raises:
            ValueError: if the shapes differ.
        """
        if self._image.shape != (*marks.shape, 3):
            raise ValueError(
                f"the image has shape {self._image.shape}; expected {(*marks.shape, 3)} as its seeds have"
            )
        undecided = marks == UNDECIDED
        sure = [value for value in (BACKGROUND, OBJECT) if (marks == value).any()]
        if len(sure) < 2:
            return np.full(marks.shape, sure[0] if sure else BACKGROUND, dtype=np.uint8)
        probability = walk(self._weights, _shrink(marks, self._small))
        grown = _resized(probability, marks.shape, Image.Resampling.BILINEAR) >= 0.5
        return np.where(undecided, grown, marks).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class EdgeWeights:
    """Weights of the steps between neighbours of an (h, w) grid.

    Attributes:
        across: (h, w - 1) float array, positive, between a pixel and the one to its right.
        down: (h - 1, w) float array, positive, between a pixel and the one below it.
    """

    across: NDArray[np.float64]
    down: NDArray[np.float64]

    @cached_property
    def laplacian(self) -> csc_array:
        """The (h * w, h * w) matrix of the weights; those of all edges of a pixel are on the diagonal."""
        pixels = np.arange(self.across.shape[0] * self.down.shape[1])
        pixels = pixels.reshape(self.across.shape[0], self.down.shape[1])
        first = np.concatenate([pixels[:, :-1].ravel(), pixels[:-1].ravel()])
        second = np.concatenate([pixels[:, 1:].ravel(), pixels[1:].ravel()])
        weight = np.concatenate([self.across.ravel(), self.down.ravel()])
        values = np.concatenate([-weight, -weight, weight, weight])
        rows = np.concatenate([first, second, first, second])
        columns = np.concatenate([second, first, first, second])
        # Entries with equal indices are summed.
        return coo_array((values, (rows, columns)), shape=(pixels.size, pixels.size)).tocsc()


def edge_weights(colours: NDArray[np.float64], edge_sensitivity: float) -> EdgeWeights:
    """Weight the steps by the change of colour (Grady 2006, equation 1).

        w_ij = exp(-edge_sensitivity |c_i - c_j|^2 / m)

    m is the mean of |c_i - c_j|^2 over all neighbours of the image, so that the weights do not depend on its
    contrast.

    Args:
        colours: (h, w, C) float array in any unit.
        edge_sensitivity: at least 0.
    """
    across, down = (np.square(np.diff(colours, axis=axis)).sum(axis=2) for axis in (1, 0))
    n_edges = across.size + down.size
    mean = (across.sum() + down.sum()) / max(n_edges, 1)
    rate = edge_sensitivity / mean if mean > 0 else 0.0
    return EdgeWeights(*(np.maximum(np.exp(-rate * change), _WEAKEST_EDGE) for change in (across, down)))


def walk(weights: EdgeWeights, marks: Mask) -> NDArray[np.float64]:
    """Return the probability that a random walker reaches an object seed before a background seed.

    With the Laplacian L of the weighted grid, the undecided pixels U and the seeds S with values x_S of 1 and
    0, the probabilities solve (Grady 2006, equation 9)

        L_UU x_U = -L_US x_S

    so each probability is the weighted mean of those of its neighbours.

    Args:
        weights: of the steps of an (h, w) grid.
        marks: (h, w) uint8 array of OBJECT, BACKGROUND and UNDECIDED.

    Returns:
        (h, w) float array in [0, 1]; 1 and 0 at the seeds, 0 everywhere without seeds.
    """
    flat = marks.ravel()
    probability = (flat == OBJECT).astype(np.float64)
    undecided = np.flatnonzero(flat == UNDECIDED)
    if 0 < len(undecided) < len(flat):
        rows = weights.laplacian[:, undecided].T.tocsc()
        pull = -rows @ probability
        # Ordering and pivoting for a symmetric positive definite matrix.
        solver = splu(rows[:, undecided], permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
        probability[undecided] = np.clip(solver.solve(pull), 0.0, 1.0)
    return probability.reshape(marks.shape)


def _small_size(size: tuple[int, ...], working_side: int) -> tuple[int, int]:
    scale = min(1.0, working_side / max(size[:2]))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _shrink(marks: Mask, size: tuple[int, int]) -> Mask:
    """Return seeds at a smaller size: a cell with any seed gets the value of most of its seeds."""
    share = {
        kind: _resized((marks == kind).astype(np.float32), size, Image.Resampling.BOX)
        for kind in (OBJECT, BACKGROUND)
    }
    small = np.full(size, UNDECIDED, dtype=np.uint8)
    small[share[BACKGROUND] > 0] = BACKGROUND
    small[(share[OBJECT] > 0) & (share[OBJECT] >= share[BACKGROUND])] = OBJECT
    return small


def _resized(
    values: NDArray[np.floating], size: tuple[int, int], resampling: Image.Resampling
) -> NDArray[np.float32]:
    image = Image.fromarray(values.astype(np.float32))
    return np.asarray(image.resize(size[::-1], resampling))


@dataclass(frozen=True)
class MaskCounts:
    """Pixel counts of one or more masks without void pixels; counts of several images can be added.

    Attributes:
        intersection: target pixels in the prediction and the ground truth.
        predicted: target pixels in the prediction.
        truth: target pixels in the ground truth.
        n_pixels: all pixels except void.
    """

    intersection: int = 0
    predicted: int = 0
    truth: int = 0
    n_pixels: int = 0

    def __add__(self, other: "MaskCounts") -> "MaskCounts":
        return MaskCounts(
            self.intersection + other.intersection,
            self.predicted + other.predicted,
            self.truth + other.truth,
            self.n_pixels + other.n_pixels,
        )

    @property
    def union(self) -> int:
        """Target pixels in the prediction, the ground truth, or both."""
        return self.predicted + self.truth - self.intersection

    @property
    def iou(self) -> float:
        """Intersection over union; nan if neither mask has target pixels."""
        return self.intersection / self.union if self.union else float("nan")

    @property
    def background(self) -> "MaskCounts":
        """The counts of the background, everything except the target."""
        return MaskCounts(
            self.n_pixels - self.union,
            self.n_pixels - self.predicted,
            self.n_pixels - self.truth,
            self.n_pixels,
        )


def mask_counts(prediction: Mask, truth: Mask, target_index: int, void: int = 255) -> MaskCounts:
    """Count the pixels of a predicted mask and its ground truth as VOC does, without void pixels.

    The IoU of a data set is that of the sum, `sum(counts, MaskCounts()).iou`, not a mean over images: images
    without the target have no IoU, but false predictions in them must lower the result.

    Args:
        prediction: (H, W) array, nonzero for predicted target pixels.
        truth: (H, W) uint8 array of class indices.
        target_index: the target's index; all other classes are background.
        void: the index of pixels that belong to no class.

    Raises:
        ValueError: if the shapes differ.
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"the mask has the shape {prediction.shape}; expected {truth.shape}")
    counted = truth != void
    predicted, true = (prediction != 0) & counted, truth == target_index
    both, *sides = (int(np.count_nonzero(mask)) for mask in (predicted & true, predicted, true, counted))
    return MaskCounts(both, *sides)
