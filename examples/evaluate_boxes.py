"""Evaluate boxes: average precision and recall of three detections on two images.

python examples/evaluate_boxes.py
"""

import dogcam

# One entry for each image: (N, 4) boxes, 0-based half-open xyxy in pixels.
GROUND_TRUTH = [[[10, 10, 60, 60]], [[0, 0, 40, 20], [50, 50, 90, 90]]]
BOXES = [[[10, 10, 60, 50], [70, 0, 90, 20]], [[0, 0, 40, 20]]]
SCORES = [[0.9, 0.8], [0.7]]


def main() -> None:
    thresholds = (0.5, 0.9)
    curves = dogcam.evaluate_boxes(GROUND_TRUTH, BOXES, SCORES, thresholds)
    for threshold, curve in zip(thresholds, curves, strict=True):
        print(f"IoU > {threshold}: AP {curve.average_precision():.4f}, recall {curve.total_recall:.4f}")


if __name__ == "__main__":
    main()
