"""Simulate a camera: random exposure, colour cast, vignette, focus and noise."""

import random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from dogcam.data.sample.textures import Field


def simulate_camera(rng: random.Random, generator: np.random.Generator, pixels: Field) -> NDArray[np.uint8]:
    """Apply random exposure, colour cast, vignette, blur and noise to a painted canvas.

    Args:
        rng: source of the camera settings.
        generator: source of the noise.
        pixels: (3, height, width) float32 array, about [0, 1].

    Returns:
        (height, width, 3) uint8 array.
    """
    _, height, width = pixels.shape
    cast = np.array([rng.uniform(0.92, 1.08), 1.0, rng.uniform(0.9, 1.1)], np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    vignette = 1 - np.float32(rng.uniform(0.0, 0.18)) * (x * x + y * y)
    contrast = np.float32(rng.uniform(0.8, 1.12))
    exposure = np.float32(rng.uniform(0.86, 1.16)) * contrast
    light = exposure * vignette
    focus = ImageFilter.GaussianBlur(rng.choice((0.0, 0.4, 0.6, 0.9, 1.3)))
    grain = generator.standard_normal((height, width), dtype=np.float32) * np.float32(rng.uniform(1.5, 8.0))
    image = np.empty((height, width, 3), np.uint8)
    for channel, plane in enumerate(pixels):
        lit = plane * light
        lit *= cast[channel]
        lit += (1 - contrast) / 2
        lit *= 255
        lit += np.float32(0.5)
        sharp = Image.fromarray(np.clip(lit, 0, 255, out=lit).astype(np.uint8))
        noisy = np.add(np.asarray(sharp.filter(focus)), grain, out=lit)
        image[..., channel] = np.clip(noisy, 0, 255, out=noisy)
    return image
