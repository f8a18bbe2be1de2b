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
from dogcam.network.heads import JointHead, LogOddsHead
from dogcam.train.augment import Augmentation
from dogcam.train.config import Cosine, TrainingConfig
from dogcam.train.ema import WeightAverage
from dogcam.train.fine_tuning import Teacher, frozen_layers, known_outputs_alone, parameter_groups, set_mode
from dogcam.train.linear_probe import fit_head, head_inputs
from dogcam.train.mixing import cutmix, hide_and_seek
from tests.train.test_loop import CLASSES, PREPROCESSING, StopsAt, make_network, run, same_weights, splits

__all__ = ["splits"]

EVERYTHING = TrainingConfig(
    epochs=3, batch_size=6, learning_rate=0.01, schedule=Cosine(0.5),
    augmentation=Augmentation(spread="cutmix"),
    training_size=12, body_mode="evaluate", head_rate=5.0, averaging=0.9, distillation=1.0,
    known_alone=True,
)  # fmt: skip


def joint_network(seed: int = 0) -> nn.Sequential:
    network = make_network(seed=seed)
    older = nn.Linear(6, 5)
    network.head = JointHead(nn.Linear(6, 2), LogOddsHead(older, [[1, 3]]), [0])
    return network


def config(**changes) -> TrainingConfig:
    return TrainingConfig(**{**vars(EVERYTHING), **changes})


@pytest.mark.parametrize("stopped_in", [0, 2])
@pytest.mark.parametrize(("spread", "known_alone"), [("cutmix", False), ("hide", True)])
def test_a_training_with_every_option_resumes_bit_for_bit(splits, tmp_path, stopped_in, spread, known_alone):
    settings = config(
        augmentation=Augmentation(spread=spread), probe=1e-3, start_share=0.25, known_alone=known_alone,
        frozen=("features.convolution", "head.known"), high_resolution=HighResolutionPass((24, 20), 0.3),
    )  # fmt: skip
    whole, expected = run(splits, tmp_path / "whole", settings, joint_network())
    with pytest.raises(KeyboardInterrupt):
        run(splits, tmp_path / "parts", settings, joint_network(), observer=StopsAt(stopped_in))
    resumed, history = run(splits, tmp_path / "parts", settings, joint_network())
    assert same_weights(resumed, whole)
    assert [record.ap for record in history.records] == [record.ap for record in expected.records]


def test_the_average_is_what_is_measured_and_what_comes_out(splits, tmp_path):
    network, history = run(splits, tmp_path / "a", EVERYTHING, joint_network())
    last, _ = run(splits, tmp_path / "b", config(averaging=0.0), joint_network())
    assert not same_weights(network, last)
    assert measure(network, CLASSES, splits[1].images, PREPROCESSING, 6) == history.last.ap


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


def test_what_comes_out_lies_between_the_average_and_the_start(splits, tmp_path):
    begun = joint_network()
    with known_outputs_alone(begun.head):
        start = begun.state_dict()
    whole, _ = run(splits, tmp_path / "whole", EVERYTHING, joint_network())
    between, history = run(splits, tmp_path / "between", config(start_share=0.25), joint_network())
    last, _ = run(splits, tmp_path / "last", config(averaging=0.0), joint_network())
    of_last, _ = run(splits, tmp_path / "of_last", config(averaging=0.0, start_share=0.25), joint_network())
    for end, found in ((whole, between), (last, of_last)):
        for name, tensor in found.state_dict().items():
            expected = 0.75 * end.state_dict()[name] + 0.25 * start[name]
            torch.testing.assert_close(tensor, expected if tensor.is_floating_point() else tensor)
    assert measure(between, CLASSES, splits[1].images, PREPROCESSING, 6) == history.last.ap
    with pytest.raises(ConfigError, match=r"start_share.* 1"):
        config(start_share=1.0)


def test_frozen_layers_do_not_move_and_can_move_afterwards(splits, tmp_path):
    start = joint_network()
    frozen = config(frozen=("features.convolution", "head.known"))
    network, _ = run(splits, tmp_path, frozen, copy.deepcopy(start))
    assert torch.equal(network.features.convolution.weight, start.features.convolution.weight)
    assert torch.equal(network.head.known.linear.weight, start.head.known.linear.weight)
    assert not torch.equal(network.head.linear.weight, start.head.linear.weight)
    assert all(parameter.requires_grad for parameter in network.parameters())
    with pytest.raises(ModelError, match="'stem'"), frozen_layers(start, ["stem"]):
        pass


def test_frozen_layers_keep_their_statistics_too(splits, tmp_path):
    start = joint_network()
    frozen = config(frozen=("features",), body_mode="train", averaging=0.0)
    network, _ = run(splits, tmp_path, frozen, copy.deepcopy(start))
    assert same_weights(network.features, start.features)
    set_mode(network, frozen)
    assert network.training and network.head.training
    assert not any(module.training for module in network.features.modules())


def test_a_frozen_head_may_hear_an_older_one_alone():
    head = joint_network().head
    head.linear.requires_grad_(False)
    with known_outputs_alone(head):
        assert not head.linear.weight[0].any() and head.linear.weight[1].any()


def test_the_body_keeps_its_statistics_in_evaluation_mode(splits, tmp_path):
    start = joint_network()
    network, _ = run(splits, tmp_path, EVERYTHING, copy.deepcopy(start))
    assert torch.equal(network.features.norm.running_mean, start.features.norm.running_mean)
    set_mode(network, EVERYTHING)
    assert network.head.training and not network.features.drop.training
    set_mode(network, config(body_mode="train"))
    assert all(module.training for module in network.modules())


def test_the_head_learns_at_its_own_rate():
    network = joint_network()
    body, head = parameter_groups(network, EVERYTHING)
    assert [len(body["params"]), body["factor"]] == [4, 1.0]
    assert {id(each) for each in head["params"]} == {id(each) for each in network.head.parameters()}
    assert head["factor"] == 5.0


def test_nothing_is_forgotten_at_first_and_the_loss_is_the_divergence():
    network = joint_network().eval()
    teacher, before = Teacher(network), copy.deepcopy(network)
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    assert teacher.loss(images, network[:-1](images), network.head).item() == pytest.approx(0, abs=1e-7)
    with torch.no_grad():
        network.features.convolution.weight += 0.1
        old = before.head.known.linear(before[:-1](images)).softmax(-1)
        new = network.head.known.linear(network[:-1](images)).softmax(-1)
        expected = (old * (old / new).log()).sum(-1)[::2].mean()
    found = teacher.loss(images, network[:-1](images), network.head)
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)


def test_distillation_keeps_the_older_heads_answers(splits, tmp_path):
    start = joint_network()
    old = copy.deepcopy(start)
    old.head = old.head.known.linear
    answers = predict(old, splits[1].images, PREPROCESSING, 6).log_softmax(-1)
    moved = []
    for weight in (0.0, 100.0):
        network, _ = run(splits, tmp_path / f"{weight}", config(distillation=weight), copy.deepcopy(start))
        network.head = network.head.known.linear
        now = predict(network, splits[1].images, PREPROCESSING, 6).log_softmax(-1)
        moved.append(F.kl_div(now, answers, reduction="batchmean", log_target=True).item())
    assert moved[1] < moved[0] / 2


def test_an_output_that_is_known_hears_the_older_head_alone(splits, tmp_path):
    start = joint_network()
    network, _ = run(splits, tmp_path, EVERYTHING, copy.deepcopy(start))
    known, new = network.head.linear.weight
    assert known.tolist() == [0.0] * 6 and new.abs().min() > 0
    assert network.head.linear.bias[0] != start.head.linear.bias[0]
    # Nothing stays behind: afterwards everything can be learned.
    network.zero_grad()
    network.head.linear.weight.sum().backward()
    assert network.head.linear.weight.grad.tolist() == [[1.0] * 6] * 2


def test_single_places_hear_the_weights_that_were_fitted_before_the_average_lost_them(splits, tmp_path):
    settings = config(probe=1e-3, high_resolution=HighResolutionPass((24, 20), 0.3), frozen=("head.known",))
    network, history = run(splits, tmp_path, settings, joint_network())
    fitted = joint_network()
    with frozen_layers(fitted, settings.frozen):
        pooled = head_inputs(fitted, splits[0].images, PREPROCESSING, 6)
        fit_head(fitted, pooled, label_matrix(splits[0].images, CLASSES), 1e-3)
    torch.testing.assert_close(network.head.near, fitted.head.linear.weight[:1])
    assert network.head.linear.weight[0].tolist() == [0.0] * 6 and network.head.near.abs().min() > 0
    found = measure(network, CLASSES, splits[1].images, PREPROCESSING, 6, settings.high_resolution)
    assert found == history.last.ap


@pytest.mark.parametrize("changes", [{"distillation": 0}, {"known_alone": False}])
def test_what_needs_an_older_head_is_refused_without_one(splits, tmp_path, changes):
    needing = "known_alone" if "distillation" in changes else "distillation"
    with pytest.raises(ConfigError, match=f"{needing}.*Linear"):
        run(splits, tmp_path, config(**changes))


def test_a_joint_head_behind_other_layers_than_a_chain_is_refused():
    # What is distilled is taken from all layers but the last, which only a chain of them has.
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = joint_network().head

    with pytest.raises(ConfigError, match=r"distillation.*Wrapped.*JointHead"):
        Teacher(Wrapped())


def test_cutmix_mixes_labels_by_the_area_that_was_pasted():
    batch = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 20, 30)
    labels = torch.eye(4)
    n_mixed = 0
    for seed in range(20):
        mixed, weights = cutmix(batch, labels, torch.Generator().manual_seed(seed))
        for place in range(4):
            other = (place - 1) % 4
            share = (mixed[place] == other).float().mean().item()
            assert (mixed[place] == place).float().mean().item() == pytest.approx(1 - share)
            assert weights[place, other].item() == pytest.approx(share, abs=1e-6)
            assert weights[place, place].item() == pytest.approx(1 - share, abs=1e-6)
        n_mixed += mixed is not batch
    assert 4 < n_mixed < 16


def test_hidden_cells_have_the_given_colour_and_the_expected_share():
    batch, fill = torch.ones(40, 3, 28, 42), torch.tensor([0.1, 0.2, 0.3])
    hidden = hide_and_seek(batch, fill, torch.Generator().manual_seed(0))
    cells = hidden.view(40, 3, 7, 4, 7, 6)
    first = cells[:, :, :, :1, :, :1]
    assert torch.equal(cells, first.expand_as(cells))
    gone = first.squeeze((3, 5)) != 1
    assert torch.equal(gone[:, 0], gone[:, 1])
    assert gone.float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert hidden.amin((0, 2, 3)).tolist() == pytest.approx(fill.tolist())


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"averaging": 1.0}, r"averaging.* 1\b"),
        ({"distillation": -1}, "distillation.* -1"),
        ({"head_rate": 0}, "head_rate.* 0"),
        ({"training_size": 0}, "training_size.* 0"),
        ({"body_mode": "asleep"}, "'asleep'"),
    ],
)
def test_settings_of_fine_tuning_out_of_range_are_refused(changes, fault):
    with pytest.raises(ConfigError, match=fault):
        config(**changes)
    with pytest.raises(ConfigError, match="'some'"):
        Augmentation(spread="some")
