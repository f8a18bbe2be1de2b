"""The training of a localiser: it learns from labels alone, resumes bit for bit, and repairs its files."""

from dataclasses import replace

import pytest
import torch

from dogcam.data.reading import read_split
from dogcam.errors import ConfigError, DataError, ModelError
from dogcam.models.checkpoints import load_checkpoint
from dogcam.models.classifier import load_classifier
from dogcam.structures.images import Split
from dogcam.train.localiser import examples, training
from dogcam.train.localiser.config import LocaliserConfig
from dogcam.train.localiser.examples import ExampleMaker
from dogcam.train.localiser.training import EXAMPLES, train_localiser
from dogcam.train.state import STATE

FAST = LocaliserConfig(epochs=2, batch_size=4, width=8, components=12, mosaics=0.5, scale=1.0, least_fit=0.05)


@pytest.fixture(scope="module")
def classifier():
    return load_classifier("sample_net", device="cpu")


@pytest.fixture(scope="module")
def images(small_data) -> Split:
    split = read_split(small_data, "test")
    return replace(split, images=split.images[:6])


@pytest.fixture(scope="module")
def trained(classifier, images, tmp_path_factory):
    """A finished training: its localiser, its epochs and its folder."""
    folder, epochs = tmp_path_factory.mktemp("localiser"), []
    return train_localiser(classifier, images, FAST, folder, epoch_ended=epochs.append), epochs, folder


def weights(localiser) -> dict:
    return localiser.network.state_dict()


def same(localiser, other) -> bool:
    found, expected = weights(localiser), weights(other)
    return all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_the_boxes_approach_the_pseudo_boxes(trained):
    localiser, epochs, folder = trained
    assert [each.epoch for each in epochs] == [1, 2]
    assert epochs[-1].loss < epochs[0].loss and epochs[-1].iou > epochs[0].iou
    assert not localiser.network.training
    assert localiser.card.layers == ("features.stage2", "features.stage3")
    files = sorted(path.name for path in (folder / EXAMPLES).iterdir())
    n_sources = sum(
        bool(load_checkpoint(folder / EXAMPLES / name).meta["boxes"]) for name in files if "image" in name
    )
    assert sum("mosaic" in name for name in files) == round(FAST.mosaics * n_sources) > 0


@pytest.mark.parametrize("moment", ["examples", "epochs"])
def test_an_interrupted_training_ends_with_the_same_weights(
    trained, classifier, images, tmp_path, moment, monkeypatch
):
    if moment == "examples":
        write, written = ExampleMaker._write, []

        def stop(maker, path, *rest):
            if len(written) == 4:
                raise KeyboardInterrupt
            written.append(path)
            write(maker, path, *rest)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(ExampleMaker, "_write", stop)
            train_localiser(classifier, images, FAST, tmp_path)
        # One that was cut off is made again.
        whole = written[0].read_bytes()
        written[0].write_bytes(whole[: len(whole) // 2])
    else:

        def stop_after_one(epoch):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train_localiser(classifier, images, FAST, tmp_path, epoch_ended=stop_after_one)
    torch.manual_seed(4)
    written = []
    write = examples.save_checkpoint
    monkeypatch.setattr(
        examples,
        "save_checkpoint",
        lambda path, *rest, **named: written.append(path) or write(path, *rest, **named),
    )
    assert same(train_localiser(classifier, images, FAST, tmp_path), trained[0])
    n_files = sum(1 for path in (trained[2] / EXAMPLES).iterdir() if path.stem != "projection")
    # Of the four files that were written before the interruption, one was damaged.
    assert len(written) == (n_files - 3 if moment == "examples" else 0)


def test_an_image_that_changes_while_it_is_read_leaves_no_example(classifier, images, tmp_path, monkeypatch):
    path, read = images.images[0].path, examples.read_pixels

    def changes(image):
        content = image.path.read_bytes()
        image.path.write_bytes(content + b"more")
        pixels = read(image)
        image.path.write_bytes(content)
        return pixels

    monkeypatch.setattr(
        examples, "read_pixels", lambda image: (changes if image.path == path else read)(image)
    )
    with pytest.raises(DataError, match=path.name):
        train_localiser(classifier, images, FAST, tmp_path)
    assert not list(tmp_path.glob(f"{EXAMPLES}/image-*"))


def test_annotated_boxes_have_no_influence(trained, classifier, images, tmp_path):
    elsewhere = tuple(
        replace(image, objects=tuple(replace(each, box=(0.0, 0.0, 1.0, 1.0)) for each in image.objects))
        for image in images.images
    )
    moved = train_localiser(classifier, replace(images, images=elsewhere), FAST, tmp_path)
    assert same(moved, trained[0])


def test_a_state_of_another_training_is_refused(trained, classifier, images, tmp_path):
    before = {path: path.read_bytes() for path in sorted((trained[2] / EXAMPLES).iterdir())}
    with pytest.raises(ConfigError, match="settings"):
        train_localiser(classifier, images, FAST.model_copy(update={"seed": 5}), trained[2])
    assert {path: path.read_bytes() for path in sorted((trained[2] / EXAMPLES).iterdir())} == before
    (tmp_path / STATE).write_bytes(b"no state")
    with pytest.raises(ModelError, match=STATE):
        train_localiser(classifier, images, FAST, tmp_path)


def test_images_without_a_known_label_or_a_pseudo_box_are_refused(classifier, images, tmp_path):
    nothing = replace(images, images=tuple(replace(each, objects=()) for each in images.images))
    with pytest.raises(DataError, match="sample_net"):
        train_localiser(classifier, nothing, FAST, tmp_path)
    with pytest.raises(DataError, match="least_fit"):
        train_localiser(classifier, images, FAST.model_copy(update={"least_fit": 9.0}), tmp_path)


def test_a_diverging_training_is_stopped(classifier, images, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_run_epoch", lambda *rest: (float("nan"), 0.0))
    with pytest.raises(ConfigError, match="learning_rate"):
        train_localiser(classifier, images, FAST, tmp_path)
    assert not (tmp_path / STATE).exists()
