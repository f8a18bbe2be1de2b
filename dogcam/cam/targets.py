"""Target classes: the same for all images, or different for each image."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dogcam.errors import ModelError

Targets = Sequence[int] | Sequence[Sequence[int]] | np.ndarray | Tensor
"""K class indices for all images, or N rows of K indices, one row for each image."""


def class_indices(logits: Tensor, targets: Targets) -> Tensor:
    """Return the target classes of each image: (N, K) int64 tensor on the logits' device.

    Args:
        logits: (N, C) float tensor.
        targets: K whole numbers from 0 to C - 1, or N rows of K of them.

    Raises:
        ModelError: if the logits do not have two axes, an index is out of range, or the rows are not one for
            each image and of equal length. Targets are never truncated or repeated.
    """
    if logits.ndim != 2:
        raise ModelError(f"the output of the network has the shape {tuple(logits.shape)}; expected (N, C)")
    n_images, n_classes = logits.shape
    rows = _as_array(targets, n_classes)
    if rows.ndim == 2 and len(rows) != n_images:
        raise ModelError(
            f"{len(rows)} rows of target classes for {n_images} images; expected one row for each image, or "
            "one list of classes for all images"
        )
    known = (rows >= 0) & (rows < n_classes) & (rows == np.floor(rows))
    if rows.shape[-1] == 0 or not known.all():
        raise _no_class(targets, n_classes)
    indices = torch.from_numpy(rows.astype(np.int64)).to(logits.device)
    return indices.expand(n_images, -1)


def _as_array(targets: Targets, n_classes: int) -> np.ndarray:
    try:
        rows = np.asarray(targets.cpu() if isinstance(targets, Tensor) else targets)
        rows = rows.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise _no_class(targets, n_classes) from error
    if rows.ndim not in (1, 2):
        raise _no_class(targets, n_classes)
    return rows


def _no_class(targets: Targets, n_classes: int) -> ModelError:
    shown = targets.tolist() if isinstance(targets, np.ndarray | Tensor) else targets
    shown = list(shown) if isinstance(shown, Sequence) and not isinstance(shown, str) else shown
    return ModelError(
        f"target classes {shown}; expected indices from 0 to {n_classes - 1}: one list for all images, or "
        "rows of equal length, one for each image"
    )
