"""Quantise an exported network to 8-bit integers."""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from dogcam.backends.onnx_file import ACTIVATIONS, INPUT, quiet

QUANTISED_OPERATIONS = ("Conv", "Add", "Relu", "Clip", "MaxPool", "AveragePool")
"""ONNX operations that are quantised; all others stay in floating point."""


@dataclass(frozen=True)
class Quantisation:
    """How activation ranges are estimated, and which convolutions stay in floating point.

    Weights are signed 8-bit integers with a scale for each output channel; activations are unsigned. The head
    always stays in floating point.

    Attributes:
        ranges: `minmax` uses the full range of values, `percentile` excludes outliers, `entropy` minimises
            the change of the distribution. The last two keep the activations of all images in memory: tens of
            megabytes for each image.
        float_first: number of first convolutions in floating point.
        float_last: number of last convolutions in floating point.
    """

    ranges: Literal["minmax", "percentile", "entropy"] = "minmax"
    float_first: int = 0
    float_last: int = 0


def settings_of(quantisation: Quantisation, calibration: Sequence[Tensor]) -> dict[str, object]:
    """Return the settings that a quantised file depends on in addition to the exported file."""
    images = hashlib.sha256()
    for batch in calibration:
        images.update(batch.contiguous().cpu().numpy().tobytes())
    return {"quantisation": asdict(quantisation), "calibration": images.hexdigest()}


def quantise(exported: Path, quantisation: Quantisation, calibration: Sequence[Tensor]) -> bytes:
    """Return the quantised network as an ONNX file with quantise-dequantise pairs.

    Args:
        exported: the network in floating point.
        quantisation: the settings.
        calibration: batches of preprocessed images for the activation ranges; never images of the reported
            split.
    """
    import onnx
    from onnxruntime import quantization as q

    methods = {
        "minmax": q.CalibrationMethod.MinMax,
        "percentile": q.CalibrationMethod.Percentile,
        "entropy": q.CalibrationMethod.Entropy,
    }
    model = onnx.load(exported)
    with tempfile.TemporaryDirectory() as folder, quiet():
        made = Path(folder) / "int8.onnx"
        q.quantize_static(
            str(exported), str(made), _reader(calibration), quant_format=q.QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED_OPERATIONS), per_channel=True,
            activation_type=q.QuantType.QUInt8, weight_type=q.QuantType.QInt8,
            nodes_to_exclude=_in_floating_point(model, quantisation),
            calibrate_method=methods[quantisation.ranges],
        )  # fmt: skip
        return made.read_bytes()


def _in_floating_point(model: Any, quantisation: Quantisation) -> list[str]:
    """Return the names of the nodes of the head, and of the convolutions that stay in floating point."""
    after, head = {ACTIVATIONS}, []
    for node in model.graph.node:
        if after.intersection(node.input):
            after.update(node.output)
            head.append(node.name)
    convolutions = [
        node.name for node in model.graph.node if node.op_type == "Conv" and node.name not in head
    ]
    last = convolutions[len(convolutions) - quantisation.float_last :]
    return head + convolutions[: quantisation.float_first] + last


def _reader(calibration: Sequence[Tensor]) -> object:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        """Return one batch after the other, then None."""

        def __init__(self) -> None:
            self.batches: Iterator[Tensor] = iter(calibration)

        def get_next(self) -> dict | None:
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch.to("cpu", torch.float32).contiguous().numpy()}

    return Reader()
