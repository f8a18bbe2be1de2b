"""The linear probe: the optimum that scikit-learn finds, and nothing else moves."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dogcam.data.image_cache import label_matrix
from dogcam.evaluate.classification import predict
from dogcam.train.config import Steps
from dogcam.train.fine_tuning import prior_outputs_only
from dogcam.train.linear_probe import fit_head, head_inputs
from dogcam.train.loop import TrainingObserver
from tests.support.training import (
    CLASSES,
    FAST,
    PREPROCESSING,
    changed,
    joint_network,
    make_network,
    run,
)

PENALTY = 1e-3
SEED = 9
"""Of a network whose older head does not tell the images apart by itself, so that its share is finite."""


def fit(network, split):
    labels = label_matrix(split.images, CLASSES)
    return fit_head(network, head_inputs(network, split.images, PREPROCESSING, 6), labels, PENALTY), labels


def body_outputs(network, split):
    return predict(network[:-1], split.images, PREPROCESSING, 16)


@pytest.mark.slow
def test_the_fitted_head_is_scikit_learns_logistic_regression(data):
    from sklearn.linear_model import LogisticRegression

    network = make_network()
    _, labels = fit(network, data.train)
    pooled = body_outputs(network, data.train)
    for row, weight, bias in zip(labels.T, network.head.weight, network.head.bias, strict=True):
        # It minimises the sum over the images, and half the squared weights over C.
        reference = LogisticRegression(C=1 / (2 * PENALTY * labels.numel()), tol=1e-10, max_iter=10_000)
        reference.fit(pooled.double().numpy(), row.numpy())
        np.testing.assert_allclose(weight.detach(), reference.coef_[0], atol=2e-3)
        np.testing.assert_allclose(bias.detach(), reference.intercept_[0], atol=2e-3)


def test_what_is_returned_is_the_objective_there(data):
    network = make_network()
    value, labels = fit(network, data.train)
    logits = predict(network, data.train.images, PREPROCESSING, 16)
    expected = F.binary_cross_entropy_with_logits(logits, labels)
    expected += PENALTY * network.head.weight.detach().square().sum()
    assert value == pytest.approx(expected.item(), rel=1e-5)
    unfitted = predict(make_network(), data.train.images, PREPROCESSING, 16)
    assert value < F.binary_cross_entropy_with_logits(unfitted, labels)


def test_the_share_of_an_older_head_is_at_its_optimum_too_and_the_rest_did_not_move(data):
    network = joint_network()
    before = copy.deepcopy(network.state_dict())
    with prior_outputs_only(network.head):
        _, labels = fit(network, data.train)
    head = network.head
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"head.linear.weight", "head.linear.bias", "head.scale"}
    # The output that the older head knows has no linear weights of its own to learn.
    assert not head.linear.weight[0].any()
    loss = F.binary_cross_entropy_with_logits(head(body_outputs(network, data.train)), labels)
    for gradient in torch.autograd.grad(loss, (head.linear.bias, head.scale)):
        assert gradient.abs().max() < 1e-4


def test_the_network_is_left_in_the_mode_it_was_found_in_and_without_gradients(data):
    network = make_network().train()
    fit(network, data.train)
    assert all(module.training for module in network.modules())
    assert all(each.grad is None for each in network.parameters())
    assert not network.head._forward_pre_hooks


STILL = {"learning_rate": 1e-30, "weight_decay": 0.0, "epochs": 1}


def still(**changes):
    """Return the settings of a training that moves nothing after the head is fitted."""
    still = {"prior_head_only": True, "ema_decay": 0.9, "schedule": Steps(), **STILL}
    return changed(FAST, **still | {"linear_probe_penalty": PENALTY} | changes)


def assert_same(network, expected):
    # Training stores the channels last, which rounds otherwise.
    for ours, theirs in zip(network.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_training_begins_with_the_fitted_head_and_says_so(data, tmp_path):
    told = []

    class Listens(TrainingObserver):
        def predicted(self, purpose, done, total):
            told.append((purpose, done, total))

    network, _ = run(data, tmp_path, still(prior_head_only=False), joint_network(SEED), observer=Listens())
    expected = joint_network(SEED)
    fit(expected, data.train)
    of_probe = [(done, total) for purpose, done, total in told if purpose == "linear probe"]
    assert of_probe[-1] == (len(data.train), len(data.train)) and of_probe == sorted(set(of_probe))
    assert told[-1] == ("evaluation", len(data.evaluation), len(data.evaluation))
    assert_same(network, expected)


@pytest.mark.slow
def test_outputs_that_are_known_begin_with_the_older_head_alone(data, tmp_path):
    whole = joint_network(SEED)
    fit(whole, data.train)
    assert whole.head.linear.weight[0].abs().max() > 0.1
    alone = copy.deepcopy(whole)
    with prior_outputs_only(alone.head):
        fit(alone, data.train)
    alone.head.local.data.copy_(whole.head.linear.weight[:1])
    for changes in ({"ema_decay": 0.0}, {"wise_ft_weight": 0.25}):
        network, _ = run(data, tmp_path / str(changes), still(**changes), joint_network(SEED))
        assert_same(network, alone)
