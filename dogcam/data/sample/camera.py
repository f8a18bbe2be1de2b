"""The camera: exposure, colour cast, vignette, focus and noise, different for each picture."""

import random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from dogcam.data.sample.textures import Field


def photograph(dice: random.Random, generator: np.random.Generator, pixels: Field) -> NDArray[np.uint8]:
    """Return the picture that a camera takes of a painted canvas.

    Args:
        dice: source of the settings.
        generator: source of the noise.
        pixels: (height, width, 3) float32 array, about [0, 1].

    Returns:
        (height, width, 3) uint8 array.
    """
    height, width, _ = pixels.shape
    cast = np.array([dice.uniform(0.92, 1.08), 1.0, dice.uniform(0.9, 1.1)], np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    vignette = 1 - np.float32(dice.uniform(0.0, 0.18)) * (x * x + y * y)
    contrast = np.float32(dice.uniform(0.8, 1.12))
    exposure = np.float32(dice.uniform(0.86, 1.16)) * contrast
    lit = pixels * (exposure * vignette)[..., None]
    lit *= cast
    lit += (1 - contrast) / 2
    image = Image.fromarray(_bytes(lit)).filter(
        ImageFilter.GaussianBlur(dice.choice((0.0, 0.4, 0.6, 0.9, 1.3)))
    )
    grain = generator.standard_normal((height, width), dtype=np.float32) * np.float32(dice.uniform(1.5, 8.0))
    noisy = np.asarray(image, np.float32) + grain[..., None]
    return np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)


def _bytes(pixels: Field) -> NDArray[np.uint8]:
    """Return values of 0 to 1 as bytes; `pixels` is used up."""
    pixels *= 255
    pixels += np.float32(0.5)
    return np.clip(pixels, 0, 255, out=pixels).astype(np.uint8)
