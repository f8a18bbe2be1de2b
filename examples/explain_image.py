"""Explain one image: write its heat map with the boxes on it, and print the probability of the class.

python examples/explain_image.py IMAGE OUTPUT.png [CLASS]
"""

import sys
from pathlib import Path

from PIL import Image, ImageOps

import dogcam
from dogcam.draw.overlays import DrawnBox, composite


def main(path: str, output: str, target: str = "dog") -> None:
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    classifier = dogcam.load_classifier("sample_net")
    [result] = dogcam.explain(image, classifier, target)
    boxes = [
        DrawnBox(tuple(box), "detection", f"{target} {score:.2f}")
        for box, score in zip(result.boxes.tolist(), result.scores, strict=True)
    ]
    composite(image, result.heat_map(target), boxes).save(Path(output))
    print(f"{path}: probability of {target} {result.probabilities[0]:.3f}, {len(boxes)} boxes")


if __name__ == "__main__":
    main(*sys.argv[1:])
