"""Which classes a run measures: those that are named, or all that are annotated and known."""

from collections import Counter

from dogcam.errors import ConfigError
from dogcam.models.classifier import Classifier
from dogcam.structures.images import Split
from report.config import ALL, RunConfig


def choose_targets(config: RunConfig, reported: Split, classifier: Classifier) -> RunConfig:
    """Return the settings with every class by its name.

    `all` becomes the annotated classes that the classifier knows, in the order of their number of objects.
    Without a main target it is the first of them; equal numbers are ordered by name.

    Args:
        config: the settings as given.
        reported: the images that are reported on.
        classifier: knows its classes.

    Raises:
        ConfigError: if a class is not annotated, or none is known.
        ModelError: if the classifier does not know a class that is named.
    """
    counts = Counter(thing.name for image in reported.images for thing in image.objects)
    wants_all = ALL in (config.target, *config.targets) and ALL not in classifier.classes
    if wants_all:
        ordered = sorted(counts, key=lambda name: (-counts[name], name))
        names = tuple(name for name in ordered if name in classifier.classes)
        if not names:
            raise ConfigError(
                f"{classifier.name} knows none of the classes annotated in the split {reported.name!r}: "
                f"{', '.join(sorted(counts)) or 'nothing is annotated'}; pool its outputs with --pool, or "
                "name another data set"
            )
        target = names[0] if config.target == ALL else config.target
        config = config.model_copy(update={"target": target, "targets": names})
    for name in (config.target, *config.targets):
        classifier.index_of(name)
    absent = [name for name in config.targets if not counts[name]]
    if absent:
        raise ConfigError(
            f"no {absent[0]!r} is annotated in the {len(reported)} images of the split {reported.name!r}; "
            f"annotated there: {', '.join(sorted(counts))}. Leave out --target {absent[0]}, or raise --limit"
        )
    if config.several and config.target not in config.targets:
        raise ConfigError(
            f"the main target {config.target!r} is not among the targets {', '.join(config.targets)}; name "
            "it with --target too"
        )
    return config
