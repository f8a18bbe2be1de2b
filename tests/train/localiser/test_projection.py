"""The projection of activations: components without correlation, each of unit variance."""

import numpy as np
import pytest
import torch

from dogcam.errors import DataError
from dogcam.train.localiser.projection import estimate_projection


def images(n: int = 6, wide: int = 5) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(wide, 3, generator=generator)
    return [
        (
            3 + torch.randn(2, 4, 6, generator=generator) * torch.tensor([1.0, 100.0])[:, None, None],
            torch.einsum("ck,khw->chw", mixing, torch.randn(3, 2, 3, generator=generator)),
        )
        for _ in range(n)
    ]


def test_components_have_unit_variance_and_no_correlation():
    shown = images()
    mean, matrix = estimate_projection(shown, 3)
    assert mean.shape == (7,) and matrix.shape == (5, 7)
    first, second = (
        torch.cat([each[place].flatten(1) for each in shown], dim=1).numpy() for place in range(2)
    )
    np.testing.assert_allclose(mean, [*first.mean(axis=1), *second.mean(axis=1)], rtol=1e-4, atol=1e-5)
    # A layer of few channels keeps them; a wide one has as many components as it has directions.
    kept = matrix[:2, :2].numpy() @ (first - first.mean(axis=1, keepdims=True))
    np.testing.assert_allclose(kept.std(axis=1), 1, rtol=1e-4)
    assert not matrix[:2, 2:].any() and not matrix[2:, :2].any()
    reduced = matrix[2:, 2:].numpy() @ (second - second.mean(axis=1, keepdims=True))
    np.testing.assert_allclose(np.cov(reduced, bias=True), np.eye(3), atol=1e-3)


def test_the_first_components_explain_most():
    shown = [(each[1],) for each in images(wide=8)]
    _, matrix = estimate_projection(shown, 2)
    positions = torch.cat([each[0].flatten(1) for each in shown], dim=1).numpy()
    standard = (positions - positions.mean(axis=1, keepdims=True)) / positions.std(axis=1, keepdims=True)
    values = np.sort(np.linalg.svd(standard, compute_uv=False) ** 2 / standard.shape[1])[::-1]
    projected = matrix.numpy() @ (positions - positions.mean(axis=1, keepdims=True))
    explained = np.linalg.lstsq(projected.T, standard.T, rcond=None)[0].T @ projected
    assert explained.var(axis=1).sum() == pytest.approx(values[:2].sum(), rel=1e-3)


def test_a_constant_channel_is_zero_and_too_few_positions_are_refused():
    maps = torch.ones(1, 3, 3)
    _, matrix = estimate_projection([(maps,), (maps,)], 4)
    assert matrix.tolist() == [[0.0]]
    with pytest.raises(DataError, match="2 positions"):
        estimate_projection([(torch.ones(1, 1, 1),)], 4)
