"""Turn an exported network into one that computes with 8-bit whole numbers."""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from dogcam.backends.onnx_file import ACTIVATIONS, INPUT, quiet

KINDS_OF_NODES = ("Conv", "Add", "Relu", "Clip", "MaxPool", "AveragePool")
"""What is computed in whole numbers; the rest stays in floating point."""


@dataclass(frozen=True)
class Quantisation:
    """How the range of each activation is found, and what stays in floating point.

    Weights have 8 bits with a sign and a scale for each output channel, activations 8 bits without a sign;
    the head stays in floating point always.

    Attributes:
        ranges: `minmax` takes all values that occur, `percentile` leaves the most extreme ones out, `entropy`
            cuts where the distribution is changed least. The last two need the activations of all images at
            once: tens of megabytes for each.
        float_first: how many of the first convolutions stay in floating point.
        float_last: how many of the last.
    """

    ranges: Literal["minmax", "percentile", "entropy"] = "minmax"
    float_first: int = 0
    float_last: int = 0


def settings_of(quantisation: Quantisation, calibration: Sequence[Tensor]) -> dict[str, object]:
    """Return what a quantised file depends on beyond the exported one."""
    images = hashlib.sha256()
    for batch in calibration:
        images.update(batch.contiguous().cpu().numpy().tobytes())
    return {"quantisation": asdict(quantisation), "calibration": images.hexdigest()}


def quantise(exported: Path, quantisation: Quantisation, calibration: Sequence[Tensor]) -> bytes:
    """Return the quantised network as an ONNX file of quantise-dequantise pairs.

    Args:
        exported: the network in floating point.
        quantisation: how.
        calibration: batches of preprocessed images that show which values occur; never those that are
            reported on.
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
            op_types_to_quantize=list(KINDS_OF_NODES), per_channel=True,
            activation_type=q.QuantType.QUInt8, weight_type=q.QuantType.QInt8,
            nodes_to_exclude=_in_floating_point(model, quantisation),
            calibrate_method=methods[quantisation.ranges],
        )  # fmt: skip
        return made.read_bytes()


def _in_floating_point(model: object, quantisation: Quantisation) -> list[str]:
    """Return the names of the head's nodes, and of the first and last convolutions that stay as they are."""
    after, head = {ACTIVATIONS}, []
    for node in model.graph.node:
        if after.intersection(node.input):
            after.update(node.output)
            head.append(node.name)
    body = [node.name for node in model.graph.node if node.op_type == "Conv" and node.name not in head]
    last = body[len(body) - quantisation.float_last :]
    return head + body[: quantisation.float_first] + last


def _reader(calibration: Sequence[Tensor]) -> object:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        """Hands out one batch after the other, None at the end."""

        def __init__(self) -> None:
            self.batches: Iterator[Tensor] = iter(calibration)

        def get_next(self) -> dict | None:
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch.to("cpu", torch.float32).contiguous().numpy()}

    return Reader()
