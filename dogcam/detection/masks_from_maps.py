"""From class activation maps to masks: sure pixels become seeds, and seeds grow along colours."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array, csc_array
from scipy.sparse.linalg import splu

BACKGROUND, OBJECT, UNDECIDED = 0, 1, 255
"""The values of seeds; a mask holds the first two alone."""

_WEAKEST_EDGE = 1e-6
"""What is left of an edge's weight across the sharpest border: without it a region could be cut off from all
seeds, and no equation would decide it."""

Mask = NDArray[np.uint8]


def seeds(heat: NDArray[np.floating], cam_threshold: float, background_threshold: float) -> Mask:
    """Mark the pixels of which a heat map is sure.

    Args:
        heat: (H, W) float array in [0, 1], from `localise.heat_map`.
        cam_threshold: heat from which on a pixel is the object's.
        background_threshold: heat below which a pixel is the background's; at most `cam_threshold`.

    Returns:
        (H, W) uint8 array of OBJECT, BACKGROUND and, in between, UNDECIDED.

    Raises:
        ValueError: where the thresholds would let a pixel be both.
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


def grow(
    image: NDArray[np.uint8], marks: Mask, *, edge_sensitivity: float = 8.0, working_side: int = 64
) -> Mask:
    """Decide the undecided pixels: each goes to the seeds that a random walker from it reaches first.

    The walker (Grady 2006) steps between neighbouring pixels and shuns steps across a change of colour. It
    walks on a small copy of the picture; its probabilities are enlarged again, and the seeds keep their say.

    Args:
        image: (H, W, 3) uint8 array, RGB.
        marks: (H, W) uint8 array, from `seeds`.
        edge_sensitivity: how much the walker shuns colour changes, see `edge_weights`; 0 for not at all.
        working_side: longest side of the small copy, in pixels.

    Returns:
        (H, W) uint8 array of BACKGROUND and OBJECT, equal to `marks` where these are decided. Where the seeds
        are all of one kind, everything is; where there are none, everything is background.

    Raises:
        ValueError: where the shapes disagree.
    """
    if image.shape != (*marks.shape, 3):
        raise ValueError(f"the image has shape {image.shape}; expected {(*marks.shape, 3)} as its seeds have")
    undecided = marks == UNDECIDED
    sure = np.unique(marks[~undecided])
    if len(sure) < 2:
        return np.full(marks.shape, sure[0] if len(sure) else BACKGROUND, dtype=np.uint8)
    small = _small_size(marks.shape, working_side)
    colours = np.asarray(Image.fromarray(image).resize(small[::-1], Image.Resampling.BOX), dtype=np.float64)
    probability = walk(edge_weights(colours, edge_sensitivity), _shrink(marks, small))
    grown = _resized(probability, marks.shape, Image.Resampling.BILINEAR) >= 0.5
    return np.where(undecided, grown, marks).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class EdgeWeights:
    """How easily a walker steps between neighbours of an (h, w) grid.

    Attributes:
        across: (h, w - 1) float array, positive, between a pixel and the one to its right.
        down: (h - 1, w) float array, positive, between a pixel and the one below it.
    """

    across: NDArray[np.float64]
    down: NDArray[np.float64]


def edge_weights(colours: NDArray[np.float64], edge_sensitivity: float) -> EdgeWeights:
    """Weigh the steps by how much the colour changes (Grady 2006, equation 1).

        w_ij = exp(-edge_sensitivity |c_i - c_j|^2 / m)

    where m is the mean of |c_i - c_j|^2 over all neighbours of the picture, so that a faint picture has
    borders too.

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
    """Find the probability that a random walker reaches an object's seed before one of the background.

    With L the Laplacian of the weighted grid, U the undecided pixels and S the seeds, whose values x_S are 1
    and 0, the probabilities solve (Grady 2006, equation 9)

        L_UU x_U = -L_US x_S

    which says that each is the weighted mean of its neighbours'.

    Args:
        weights: of the steps of an (h, w) grid.
        marks: (h, w) uint8 array of OBJECT, BACKGROUND and UNDECIDED.

    Returns:
        (h, w) float array in [0, 1]; 1 and 0 at the seeds, 0 everywhere where there is no seed.
    """
    flat = marks.ravel()
    probability = (flat == OBJECT).astype(np.float64)
    undecided = np.flatnonzero(flat == UNDECIDED)
    if 0 < len(undecided) < len(flat):
        rows = _laplacian(weights, marks.shape)[:, undecided].T.tocsc()
        pull = -rows @ probability
        # The matrix is symmetric and positive definite, which this ordering and pivoting make use of.
        solver = splu(rows[:, undecided], permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
        probability[undecided] = np.clip(solver.solve(pull), 0.0, 1.0)
    return probability.reshape(marks.shape)


def _laplacian(weights: EdgeWeights, shape: tuple[int, int]) -> csc_array:
    pixels = np.arange(shape[0] * shape[1]).reshape(shape)
    first = np.concatenate([pixels[:, :-1].ravel(), pixels[:-1].ravel()])
    second = np.concatenate([pixels[:, 1:].ravel(), pixels[1:].ravel()])
    weight = np.concatenate([weights.across.ravel(), weights.down.ravel()])
    values = np.concatenate([-weight, -weight, weight, weight])
    rows = np.concatenate([first, second, first, second])
    columns = np.concatenate([second, first, first, second])
    # Entries of the same place are added up: the diagonal gathers the weights of all edges of a pixel.
    return coo_array((values, (rows, columns)), shape=(pixels.size, pixels.size)).tocsc()


def _small_size(size: tuple[int, int], working_side: int) -> tuple[int, int]:
    scale = min(1.0, working_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _shrink(marks: Mask, size: tuple[int, int]) -> Mask:
    """Return seeds at a smaller size: a cell takes the kind of which it holds more, and any seed counts."""
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
    picture = Image.fromarray(values.astype(np.float32))
    return np.asarray(picture.resize(size[::-1], resampling))


@dataclass(frozen=True)
class MaskCounts:
    """Pixels of one or more masks, void ones left out; the counts of several images add up.

    Attributes:
        intersection: pixels that are the target's in the prediction and in truth.
        predicted: pixels that are the target's in the prediction.
        truth: pixels that are the target's in truth.
        n_pixels: all pixels that count.
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
        """Pixels that are the target's in the prediction, in truth or in both."""
        return self.predicted + self.truth - self.intersection

    @property
    def iou(self) -> float:
        """Intersection over union; nan where the target is in neither mask."""
        return self.intersection / self.union if self.union else float("nan")

    @property
    def background(self) -> "MaskCounts":
        """The same pixels, counted for everything that is not the target."""
        return MaskCounts(
            self.n_pixels - self.union,
            self.n_pixels - self.predicted,
            self.n_pixels - self.truth,
            self.n_pixels,
        )


def mask_counts(prediction: Mask, truth: Mask, target_index: int, void: int = 255) -> MaskCounts:
    """Count the pixels on which a mask and the truth agree, as VOC does: void pixels count nowhere.

    The IoU of a data set is that of the sum, `sum(counts, MaskCounts()).iou`, not a mean over images: images
    without the target have no IoU of their own, yet what is predicted in them must count against it.

    Args:
        prediction: (H, W) array, nonzero where the target is predicted.
        truth: (H, W) uint8 array of class indices.
        target_index: the target's index; all other classes are background.
        void: the index of pixels that belong to no class.

    Raises:
        ValueError: where the shapes disagree.
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"a mask of shape {prediction.shape} cannot be compared with one of {truth.shape}")
    counted = truth != void
    predicted, true = (prediction != 0) & counted, truth == target_index
    both, *sides = (int(np.count_nonzero(mask)) for mask in (predicted & true, predicted, true, counted))
    return MaskCounts(both, *sides)
