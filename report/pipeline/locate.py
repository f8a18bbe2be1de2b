"""Find the data set that the settings name: render, download or read it; without torch."""

from collections.abc import Callable
from pathlib import Path

from dogcam.data.download import fetch_voc2007_test, progress_bar
from dogcam.data.sample import write_sample
from dogcam.data.splits import split_name
from report.config import RunConfig

SAMPLE_SEED = 2007
"""Of the rendered sample; not a setting, because the network that is shipped was trained on this one."""


def locate_data(
    config: RunConfig,
    cache: Path,
    rendered: Callable[[int, int], None],
    meanwhile: Callable[[], object] | None = None,
) -> Path:
    """Return the folder of the data set, rendered or downloaded where it is not there yet.

    Args:
        config: the settings of the run.
        cache: where data sets are kept.
        rendered: receives the number of images that are done, and of all images of the sample.
        meanwhile: called while processes render the sample.
    """
    if config.kind == "sample":
        names = {split_name(config.split), split_name(config.tuning_split or "val")}
        # Most of the sample is its training split, which only training needs.
        without = {} if "train" in names or names == {"val"} else {"n_train": 0}
        root = cache / "sample"
        return write_sample(root, seed=SAMPLE_SEED, progress=rendered, meanwhile=meanwhile, **without)
    if config.kind == "voc2007":
        with progress_bar("VOC2007 test") as progress:
            return fetch_voc2007_test(cache, progress=progress)
    return Path(config.data)
