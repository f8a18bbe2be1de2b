"""The names of the detection presets. Settings and records use them without importing torch."""

from typing import Literal, get_args

PresetName = Literal["published", "fast", "best", "localiser"]
"""The keys of `dogcam.detection.presets.PRESETS`, in their order."""

PUBLISHED: PresetName = "published"
"""The preset that the others are compared with."""

PRESET_NAMES: tuple[PresetName, ...] = get_args(PresetName)

LOCALISER: PresetName = "localiser"
"""The preset that needs the file of a trained localiser."""
