"""Recipes: the settings of a recorded training in a TOML file."""

import tomllib
from pathlib import Path

from pydantic import Field

from dogcam.errors import ConfigError
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
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path} is not a recipe; name a TOML file such as recipes/voc2007.toml")
        return Recipe(**tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read as TOML ({error}); correct the file") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
