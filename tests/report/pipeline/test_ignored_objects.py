"""Difficult objects and crowds in a run: counted, or ignored with the boxes on them."""

from dataclasses import replace

import pytest

from report.pipeline.shared.boxes import ground_truth, matches_of
from report.pipeline.stages import evaluate
from tests.support.stages import after, context_of


def marked(split, **flags):
    """The same split with the first dog of every image flagged."""

    def flagged(image):
        first = next((thing for thing in image.objects if thing.name == "dog"), None)
        return replace(
            image,
            objects=tuple(replace(thing, **flags) if thing is first else thing for thing in image.objects),
        )

    return replace(split, images=tuple(map(flagged, split.images)))


def unmarked(split):
    """The same split without a difficult object."""
    images = (
        replace(image, objects=tuple(replace(thing, difficult=False) for thing in image.objects))
        for image in split.images
    )
    return replace(split, images=tuple(images))


@pytest.fixture(scope="module")
def localised(small_data, small_checkpoint, tmp_path_factory):
    return after(
        context_of(small_data, small_checkpoint, tmp_path_factory.mktemp("run")), "predict", "localise"
    )


def context_with(localised, split, **settings):
    config = localised.config.model_copy(update=settings)
    return replace(localised, config=config, reported=split, memo={})


@pytest.mark.parametrize(
    ("flag", "settings", "ignored"),
    [
        ("difficult", {}, False),
        ("difficult", {"difficult": "ignored"}, True),
        ("crowd", {}, True),
        ("crowd", {"crowd": "counted"}, False),
    ],
)
def test_flagged_objects_count_or_not_by_the_setting(localised, flag, settings, ignored):
    split = marked(unmarked(localised.reported), **{flag: True})
    context = context_with(localised, split, **settings)
    n_first = sum("dog" in image.labels for image in split.images)
    n_all = sum(len(image.boxes_of("dog")) for image in split.images)
    matches = matches_of(context, "grad_cam")
    assert matches.n_ground_truth == n_all - n_first * ignored
    # An ignored object takes its boxes with it: none is a true positive on it.
    on_flagged = ground_truth(context).difficult[matches.best[matches.kind_at(0.3) == 1]]
    assert not on_flagged.any()


def test_without_flags_nothing_changes(localised):
    bare = {role: unmarked(split) for role, split in localised.splits.items()}
    localised = replace(localised, tuning=bare["tuning"])
    plain = evaluate.run(context_with(localised, bare["reported"]))
    strict = evaluate.run(context_with(localised, bare["reported"], difficult="ignored"))
    assert (plain["detection"].pop("difficult"), strict["detection"].pop("difficult")) == (
        "counted",
        "ignored",
    )
    assert strict == plain
