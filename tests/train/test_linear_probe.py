"""The linear probe: the optimum that scikit-learn finds, and nothing else moves."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression

from dogcam.data.image_cache import label_matrix
from dogcam.errors import ConfigError
from dogcam.evaluate.classification import predict
from dogcam.train.config import TrainingConfig
from dogcam.train.fine_tuning import known_outputs_alone
from dogcam.train.linear_probe import fit_head, head_inputs
from dogcam.train.loop import Observer
from tests.train.test_fine_tuning import config, joint_network
from tests.train.test_loop import CLASSES, PREPROCESSING, make_network, run, splits

__all__ = ["splits"]

PENALTY = 1e-3
SEED = 9
"""Of a network whose older head does not tell the images apart by itself, so that its share is finite."""


def fit(network, split):
    labels = label_matrix(split.images, CLASSES)
    return fit_head(network, head_inputs(network, split.images, PREPROCESSING, 6), labels, PENALTY), labels


def body_outputs(network, split):
    return predict(network[:-1], split.images, PREPROCESSING, 16)


def test_the_fitted_head_is_scikit_learns_logistic_regression(splits):
    network = make_network()
    _, labels = fit(network, splits[0])
    pooled = body_outputs(network, splits[0])
    for row, weight, bias in zip(labels.T, network.head.weight, network.head.bias, strict=True):
        # It minimises the sum over the images, and half the squared weights over C.
        reference = LogisticRegression(C=1 / (2 * PENALTY * labels.numel()), tol=1e-10, max_iter=10_000)
        reference.fit(pooled.double().numpy(), row.numpy())
        np.testing.assert_allclose(weight.detach(), reference.coef_[0], atol=2e-3)
        np.testing.assert_allclose(bias.detach(), reference.intercept_[0], atol=2e-3)


def test_what_is_returned_is_the_objective_there(splits):
    network = make_network()
    value, labels = fit(network, splits[0])
    logits = predict(network, splits[0].images, PREPROCESSING, 16)
    expected = F.binary_cross_entropy_with_logits(logits, labels)
    expected += PENALTY * network.head.weight.detach().square().sum()
    assert value == pytest.approx(expected.item(), rel=1e-5)
    unfitted = predict(make_network(), splits[0].images, PREPROCESSING, 16)
    assert value < F.binary_cross_entropy_with_logits(unfitted, labels)


def test_the_share_of_an_older_head_is_at_its_optimum_too_and_the_rest_did_not_move(splits):
    network = joint_network()
    before = copy.deepcopy(network.state_dict())
    with known_outputs_alone(network.head):
        _, labels = fit(network, splits[0])
    head = network.head
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"head.linear.weight", "head.linear.bias", "head.scale"}
    # The output that the older head knows has no linear weights of its own to learn.
    assert not head.linear.weight[0].any()
    loss = F.binary_cross_entropy_with_logits(head(body_outputs(network, splits[0])), labels)
    for gradient in torch.autograd.grad(loss, (head.linear.bias, head.scale)):
        assert gradient.abs().max() < 1e-4


def test_the_network_is_left_in_the_mode_it_was_found_in_and_without_gradients(splits):
    network = make_network().train()
    fit(network, splits[0])
    assert all(module.training for module in network.modules())
    assert all(each.grad is None for each in network.parameters())
    assert not network.head._forward_pre_hooks


STILL = {"learning_rate": 1e-30, "weight_decay": 0.0, "head_rate": 1.0, "distillation": 0.0, "epochs": 1}


def still(**changes):
    """Return the settings of a training that moves nothing after the head is fitted."""
    return config(probe=PENALTY, schedule=TrainingConfig().schedule, **STILL, **changes)


def assert_same(network, expected):
    # Training stores the channels last, which rounds otherwise.
    for ours, theirs in zip(network.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_training_begins_with_the_fitted_head_and_says_so(splits, tmp_path):
    told = []

    class Listens(Observer):
        def head_is_fitted(self, n_images):
            told.append(n_images)

    network, _ = run(splits, tmp_path, still(known_alone=False), joint_network(SEED), observer=Listens())
    expected = joint_network(SEED)
    fit(expected, splits[0])
    assert told == [len(splits[0])]
    assert_same(network, expected)


def test_outputs_that_are_known_begin_with_the_older_head_alone(splits, tmp_path):
    whole = joint_network(SEED)
    fit(whole, splits[0])
    assert whole.head.linear.weight[0].abs().max() > 0.1
    alone = copy.deepcopy(whole)
    with known_outputs_alone(alone.head):
        fit(alone, splits[0])
    alone.head.near.data.copy_(whole.head.linear.weight[:1])
    for changes in ({"averaging": 0.0}, {"start_share": 0.25}):
        network, _ = run(splits, tmp_path / str(changes), still(**changes), joint_network(SEED))
        assert_same(network, alone)


def test_a_negative_penalty_is_refused():
    with pytest.raises(ConfigError, match=r"probe.* -1"):
        TrainingConfig(probe=-1.0)
