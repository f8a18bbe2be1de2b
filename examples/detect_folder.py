"""Detect objects in all JPEG images of a folder, and print one line of CSV for each box.

python examples/detect_folder.py FOLDER [CLASS] [SCORE_THRESHOLD]
"""

import sys
from pathlib import Path

import dogcam


def main(folder: str, target: str = "dog", score_threshold: str = "0.3") -> None:
    paths = sorted(Path(folder).glob("*.jpg"))
    classifier = dogcam.load_classifier("sample_net")
    results = dogcam.detect(paths, classifier, target, score_threshold=float(score_threshold))
    print("image,x0,y0,x1,y1,score")
    for path, result in zip(paths, results, strict=True):
        for box, score in zip(result.boxes, result.scores, strict=True):
            print(path.name, *(f"{side:.0f}" for side in box), f"{score:.4f}", sep=",")


if __name__ == "__main__":
    main(*sys.argv[1:])
