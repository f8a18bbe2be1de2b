"""Fine-tuning: what is frozen stays, what is kept apart resumes, and the older head is not forgotten."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dogcam.data.image_cache import label_matrix
from dogcam.errors import ConfigError, ModelError
from dogcam.evaluate.classification import measure, predict
from dogcam.models.two_scale import HighResolutionPass
from dogcam.train.augment import Augmentation
from dogcam.train.config import Cosine, TrainingConfig
from dogcam.train.ema import WeightAverage
from dogcam.train.fine_tuning import frozen_layers, parameter_groups, prior_outputs_only, set_mode
from dogcam.train.linear_probe import fit_head, head_inputs
from dogcam.train.losses import Distillation
from tests.support.training import (
    CLASSES,
    PREPROCESSING,
    StopsAt,
    changed,
    joint_network,
    run,
    same_weights,
)

EVERYTHING = TrainingConfig(
    epochs=3, batch_size=6, learning_rate=0.01, schedule=Cosine(warm_up=0.5),
    augmentation=Augmentation(mix="cutmix"),
    training_size=12, freeze_batch_norm=True, head_lr_multiplier=5.0, ema_decay=0.9, distillation=1.0,
    prior_head_only=True,
)  # fmt: skip


def config(**changes) -> TrainingConfig:
    return changed(EVERYTHING, **changes)


@pytest.mark.slow
@pytest.mark.parametrize("stopped_in", [0, 2])
@pytest.mark.parametrize(("mix", "prior_head_only"), [("cutmix", False), ("none", True)])
def test_a_training_with_every_option_resumes_bit_for_bit(data, tmp_path, stopped_in, mix, prior_head_only):
    settings = config(
        augmentation=Augmentation(mix=mix), linear_probe_penalty=1e-3, wise_ft_weight=0.25,
        prior_head_only=prior_head_only, frozen_layers=("features.convolution", "head.prior"),
        high_resolution=HighResolutionPass((24, 20), 0.3),
    )  # fmt: skip
    whole, expected = run(data, tmp_path / "whole", settings, joint_network())
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "parts", settings, joint_network(), observer=StopsAt(stopped_in))
    resumed, history = run(data, tmp_path / "parts", settings, joint_network())
    assert same_weights(resumed, whole)
    assert [record.ap for record in history.records] == [record.ap for record in expected.records]


def test_the_average_is_what_is_measured_and_what_comes_out(data, tmp_path):
    network, history = run(data, tmp_path / "a", EVERYTHING, joint_network())
    last, _ = run(data, tmp_path / "b", config(ema_decay=0.0), joint_network())
    assert not same_weights(network, last)
    assert measure(network, CLASSES, data.evaluation.images, PREPROCESSING, 6) == history.last.ap


def test_the_average_is_that_of_its_definition():
    network = nn.Linear(1, 1, bias=False)
    values, expected = [3.0, -1.0, 4.0, 1.0], 2.0
    with torch.no_grad():
        network.weight.fill_(expected)
    average = WeightAverage(network, 0.25)
    for number, value in enumerate(values, start=1):
        decay = min(0.25, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * value
        with torch.no_grad():
            network.weight.fill_(value)
        average.update(network, number)
    with average.installed(network):
        assert network.weight.item() == pytest.approx(expected)
    assert network.weight.item() == values[-1]


@pytest.mark.slow
def test_what_comes_out_lies_between_the_average_and_the_start(data, tmp_path):
    begun = joint_network()
    with prior_outputs_only(begun.head):
        start = begun.state_dict()
    whole, _ = run(data, tmp_path / "whole", EVERYTHING, joint_network())
    between, history = run(data, tmp_path / "between", config(wise_ft_weight=0.25), joint_network())
    last, _ = run(data, tmp_path / "last", config(ema_decay=0.0), joint_network())
    of_last, _ = run(data, tmp_path / "of_last", config(ema_decay=0.0, wise_ft_weight=0.25), joint_network())
    for end, found in ((whole, between), (last, of_last)):
        for name, tensor in found.state_dict().items():
            expected = 0.75 * end.state_dict()[name] + 0.25 * start[name]
            torch.testing.assert_close(tensor, expected if tensor.is_floating_point() else tensor)
    assert measure(between, CLASSES, data.evaluation.images, PREPROCESSING, 6) == history.last.ap


def test_frozen_layers_do_not_move_and_can_move_afterwards(data, tmp_path):
    start = joint_network()
    frozen = config(frozen_layers=("features.convolution", "head.prior"))
    network, _ = run(data, tmp_path, frozen, copy.deepcopy(start))
    assert torch.equal(network.features.convolution.weight, start.features.convolution.weight)
    assert torch.equal(network.head.prior.linear.weight, start.head.prior.linear.weight)
    assert not torch.equal(network.head.linear.weight, start.head.linear.weight)
    assert all(parameter.requires_grad for parameter in network.parameters())
    with pytest.raises(ModelError, match="no layer 'stem'"), frozen_layers(start, ["stem"]):
        pass


def test_frozen_layers_keep_their_statistics_too(data, tmp_path):
    start = joint_network()
    frozen = config(frozen_layers=("features",), freeze_batch_norm=False, ema_decay=0.0)
    network, _ = run(data, tmp_path, frozen, copy.deepcopy(start))
    assert same_weights(network.features, start.features)
    set_mode(network, frozen)
    assert network.training and network.head.training
    assert not any(module.training for module in network.features.modules())


def test_a_frozen_head_may_hear_an_older_one_alone():
    head = joint_network().head
    head.linear.requires_grad_(False)
    with prior_outputs_only(head):
        assert not head.linear.weight[0].any() and head.linear.weight[1].any()


def test_the_body_keeps_its_statistics_in_evaluation_mode(data, tmp_path):
    start = joint_network()
    network, _ = run(data, tmp_path, EVERYTHING, copy.deepcopy(start))
    assert torch.equal(network.features.norm.running_mean, start.features.norm.running_mean)
    set_mode(network, EVERYTHING)
    assert network.head.training and not network.features.drop.training
    set_mode(network, config(freeze_batch_norm=False))
    assert all(module.training for module in network.modules())


def test_the_head_learns_at_its_own_rate():
    network = joint_network()
    backbone, head = parameter_groups(network, EVERYTHING)
    assert [len(backbone["params"]), backbone["lr_multiplier"]] == [4, 1.0]
    assert {id(each) for each in head["params"]} == {id(each) for each in network.head.parameters()}
    assert head["lr_multiplier"] == 5.0


def test_nothing_is_forgotten_at_first_and_the_loss_is_the_divergence():
    network = joint_network().eval()
    teacher, before = Distillation(network), copy.deepcopy(network)
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    assert teacher.loss(images, network[:-1](images), network.head).item() == pytest.approx(0, abs=1e-7)
    with torch.no_grad():
        network.features.convolution.weight += 0.1
        old = before.head.prior.linear(before[:-1](images)).softmax(-1)
        new = network.head.prior.linear(network[:-1](images)).softmax(-1)
        expected = (old * (old / new).log()).sum(-1)[::2].mean()
    found = teacher.loss(images, network[:-1](images), network.head)
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)


def test_distillation_keeps_the_older_heads_answers(data, tmp_path):
    start = joint_network()
    old = copy.deepcopy(start)
    old.head = old.head.prior.linear
    answers = predict(old, data.evaluation.images, PREPROCESSING, 6).log_softmax(-1)
    moved = []
    for weight in (0.0, 100.0):
        network, _ = run(data, tmp_path / f"{weight}", config(distillation=weight), copy.deepcopy(start))
        network.head = network.head.prior.linear
        now = predict(network, data.evaluation.images, PREPROCESSING, 6).log_softmax(-1)
        moved.append(F.kl_div(now, answers, reduction="batchmean", log_target=True).item())
    assert moved[1] < moved[0] / 2


def test_an_output_that_is_known_hears_the_older_head_alone(data, tmp_path):
    start = joint_network()
    network, _ = run(data, tmp_path, EVERYTHING, copy.deepcopy(start))
    known, new = network.head.linear.weight
    assert known.tolist() == [0.0] * 6 and new.abs().min() > 0
    assert network.head.linear.bias[0] != start.head.linear.bias[0]
    # Nothing stays behind: afterwards everything can be learned.
    network.zero_grad()
    network.head.linear.weight.sum().backward()
    assert network.head.linear.weight.grad.tolist() == [[1.0] * 6] * 2


def test_the_high_resolution_pass_uses_the_weights_of_the_linear_probe(data, tmp_path):
    settings = config(
        linear_probe_penalty=1e-3,
        high_resolution=HighResolutionPass((24, 20), 0.3),
        frozen_layers=("head.prior",),
    )
    network, history = run(data, tmp_path, settings, joint_network())
    fitted = joint_network()
    with frozen_layers(fitted, settings.frozen_layers):
        pooled = head_inputs(fitted, data.train.images, PREPROCESSING, 6)
        fit_head(fitted, pooled, label_matrix(data.train.images, CLASSES), 1e-3)
    torch.testing.assert_close(network.head.local, fitted.head.linear.weight[:1])
    assert network.head.linear.weight[0].tolist() == [0.0] * 6 and network.head.local.abs().min() > 0
    found = measure(network, CLASSES, data.evaluation.images, PREPROCESSING, 6, settings.high_resolution)
    assert found == history.last.ap


@pytest.mark.parametrize("changes", [{"distillation": 0}, {"prior_head_only": False}])
def test_what_needs_an_older_head_is_refused_without_one(data, tmp_path, changes):
    needing = "prior_head_only" if "distillation" in changes else "distillation"
    with pytest.raises(ConfigError, match=f"{needing} .*Linear"):
        run(data, tmp_path, config(**changes))


def test_a_joint_head_behind_other_layers_than_a_chain_is_refused():
    # What is distilled is taken from all layers but the last, which only a chain of them has.
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = joint_network().head

    with pytest.raises(ConfigError, match=r"distillation .*Wrapped"):
        Distillation(Wrapped())
