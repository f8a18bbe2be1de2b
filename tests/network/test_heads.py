"""Pooling the classes of a softmax into log-odds, against the softmax itself and against autograd."""

import pytest
import torch
from torch import nn

from dogcam.errors import ModelError
from dogcam.network.heads import JointHead, LogOddsHead, head_weights, position_head

GROUPS = [[1, 4], [0], range(2, 8), [7, 3, 1]]


def linear(scale: float = 1.0, dtype: torch.dtype = torch.float64) -> nn.Linear:
    torch.manual_seed(0)
    layer = nn.Linear(5, 9, dtype=dtype)
    with torch.no_grad():
        layer.weight *= scale
    return layer


def pooled(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(6, 5, dtype=dtype, generator=torch.Generator().manual_seed(1))


def test_the_sigmoid_is_the_share_of_the_softmax():
    layer, x = linear(), pooled()
    found = LogOddsHead(layer, GROUPS)(x).sigmoid()
    softmax = layer(x).softmax(-1)
    expected = torch.stack([sum(softmax[:, k] for k in group) for group in GROUPS], dim=1)
    assert found.shape == (6, 4)
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=0)


def test_log_odds_of_one_class_out_of_two_are_the_difference_of_logits():
    layer = nn.Linear(5, 2, dtype=torch.float64)
    logits = layer(pooled())
    found = LogOddsHead(layer, [[1]])(pooled())[:, 0]
    torch.testing.assert_close(found, logits[:, 1] - logits[:, 0])


def test_log_odds_stay_exact_where_the_probability_is_1():
    head = LogOddsHead(linear(500.0, torch.float32), GROUPS)
    x = pooled(torch.float32)
    found = head(x)
    assert (found.sigmoid() == 1).any() and (found.sigmoid() == 0).any()
    torch.testing.assert_close(found.double(), head.double()(x.double()), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_many_rows_have_the_same_log_odds(scale, dtype):
    head, x = LogOddsHead(linear(scale, dtype), GROUPS), pooled(dtype)
    assert head.of_many(x).dtype == dtype
    torch.testing.assert_close(head.of_many(x), head(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("head", [linear(), LogOddsHead(linear(), GROUPS)])
def test_a_position_is_scored_as_the_mean_of_positions_is(head):
    torch.testing.assert_close(position_head(head)(pooled()), head(pooled()), rtol=1e-5, atol=1e-5)


def test_log_odds_of_many_rows_stay_finite():
    head = LogOddsHead(linear(1e4), GROUPS)
    assert head.of_many(pooled()).isfinite().all()


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_weights_are_the_gradient(scale):
    head, x = LogOddsHead(linear(scale), GROUPS), pooled().requires_grad_()
    outputs = head(x)
    rows = [torch.autograd.grad(outputs[:, g].sum(), x, retain_graph=True)[0] for g in range(len(GROUPS))]
    torch.testing.assert_close(head.weights(x), torch.stack(rows, dim=1))
    torch.testing.assert_close(head_weights(head, x), torch.stack(rows, dim=1))


def test_weights_of_a_linear_head_are_the_same_for_every_image():
    layer = linear()
    weights = head_weights(layer, pooled())
    assert weights.shape == (6, 9, 5)
    assert all(torch.equal(of_image, layer.weight) for of_image in weights)


def test_the_groups_are_no_part_of_the_checkpoint():
    assert LogOddsHead(linear(), GROUPS).state_dict().keys() == {"linear.weight", "linear.bias"}


@pytest.mark.parametrize(
    "group", [[], range(9), [0, 9], [-1, 3], [2, 2]], ids=["empty", "all", "too high", "negative", "twice"]
)
def test_a_group_that_has_no_odds_is_refused(group):
    with pytest.raises(ModelError, match="0 to 8"):
        LogOddsHead(linear(), [[0, 1], group])


@pytest.mark.parametrize("head", [nn.Conv2d(5, 9, 1), nn.Sequential(nn.Linear(5, 9))])
def test_other_heads_have_no_weights(head):
    with pytest.raises(ModelError, match=type(head).__name__):
        head_weights(head, pooled())


@pytest.mark.parametrize("head", [nn.Linear(8, 2), LogOddsHead(nn.Linear(8, 3), [[0]])])
def test_a_head_of_another_width_is_refused(head):
    with pytest.raises(ModelError, match=r"8 .*5 "):
        head_weights(head, pooled())


class Sine(nn.Linear):
    """A linear layer by name only: what comes out is no longer linear."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).sin()


class OfUnitLength(nn.Linear):
    """A linear layer by name only: what goes in is normalised."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(nn.functional.normalize(x))


def replaced(layer: nn.Linear) -> nn.Linear:
    """Give one layer, not its class, another forward."""
    layer.forward = lambda x: nn.functional.linear(x, layer.weight, layer.bias).sin()
    return layer


@pytest.mark.parametrize(
    "head",
    [
        Sine(5, 9),
        OfUnitLength(5, 9),
        replaced(nn.Linear(5, 9)),
        LogOddsHead(Sine(5, 9), GROUPS),
        JointHead(OfUnitLength(5, 4), LogOddsHead(nn.Linear(5, 9), GROUPS[:2]), [3, 1]),
        JointHead(nn.Linear(5, 4), LogOddsHead(Sine(5, 9), GROUPS[:2]), [3, 1]),
    ],
    ids=["sine", "normalised", "replaced", "log-odds of a sine", "joint, new part", "joint, known part"],
)
def test_a_layer_with_a_forward_of_its_own_has_other_slopes_than_its_weights(head):
    with pytest.raises(ModelError, match=r"linear layer.* forward"):
        head_weights(head, pooled(torch.float32))


def test_a_subclass_that_computes_what_a_linear_layer_does_has_its_weights():
    head = nn.modules.linear.NonDynamicallyQuantizableLinear(5, 9)
    assert torch.equal(head_weights(head, pooled(torch.float32))[2], head.weight)
    named = nn.utils.parametrizations.weight_norm(nn.Linear(5, 9))
    assert torch.equal(head_weights(named, pooled(torch.float32))[2], named.weight)


def joint() -> JointHead:
    torch.manual_seed(2)
    head = JointHead(nn.Linear(5, 4, dtype=torch.float64), LogOddsHead(linear(), GROUPS[:2]), [3, 1]).double()
    with torch.no_grad():
        head.scale.copy_(torch.tensor([0.7, -1.5]))
    return head


def test_a_joint_head_adds_the_log_odds_to_the_outputs_that_have_a_group():
    head, x = joint(), pooled()
    odds, expected = head.prior(x), head.linear(x)
    expected[:, 3] += 0.7 * odds[:, 0]
    expected[:, 1] -= 1.5 * odds[:, 1]
    torch.testing.assert_close(head(x), expected)


def test_a_joint_heads_weights_are_its_derivative():
    head, x = joint(), pooled()
    expected = torch.stack([torch.autograd.functional.jacobian(head, each[None])[0, :, 0] for each in x])
    torch.testing.assert_close(head_weights(head, x), expected)
    with pytest.raises(ModelError, match=r"5 .*6 "):
        head_weights(head, torch.zeros(1, 6))


@pytest.mark.parametrize("outputs", [[0], [0, 0], [0, 4], [-1, 2]])
def test_a_joint_head_refuses_outputs_that_do_not_match_its_groups(outputs):
    with pytest.raises(ModelError, match="2 groups"):
        JointHead(nn.Linear(5, 4), LogOddsHead(linear(), GROUPS[:2]), outputs)
