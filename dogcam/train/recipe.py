"""Recipes: the settings of a recorded training in a TOML file."""

import tomllib
from pathlib import Path

from pydantic import Field

from dogcam.errors import ConfigError
from dogcam.files import read_bytes
from dogcam.train.config import Count, TrainingConfig
from dogcam.train.settings import Settings

MAX_BYTES = 1 << 20
"""A larger file is not a recipe."""


class Recipe(Settings):
    """A network and the settings of its training.

    Attributes:
        arch: architecture (see `dogcam.models.registry`); None for the default of the data set.
        init: initial weights: `imagenet`, `none` or the path of a checkpoint; None for the default of the
            architecture.
        input_size: side in pixels of the images in evaluation; None for the default of the architecture.
        training: all other settings.
    """

    arch: str | None = None
    init: str | None = None
    input_size: Count | None = None
    training: TrainingConfig = Field(default_factory=TrainingConfig)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Args:
        path: a TOML file: the attributes of `Recipe`, those of `TrainingConfig` in the table `training`.

    Raises:
        ConfigError: if the file cannot be read, is not TOML, or holds an unknown or invalid setting.
    """
    try:
        return Recipe(**tomllib.loads(read_bytes(path, MAX_BYTES, ConfigError).decode()))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read as TOML ({error}); correct the file") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}; correct the file") from error
