"""Run an ONNX file by OpenVINO, in single precision."""

from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dogcam.backends.backend import Backend
from dogcam.backends.onnx_file import INPUT, OUTPUTS, as_input
from dogcam.errors import ModelError, first_line


def openvino_backend(path: Path, threads: int | None = None) -> Backend:
    """Open an exported network.

    Args:
        path: the file.
        threads: number of threads for one batch; None for as many as torch uses.

    Raises:
        ModelError: if OpenVINO cannot open the file.
    """
    import openvino

    settings = {
        # By default, OpenVINO computes in bfloat16 on processors that multiply it.
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads or torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    try:
        compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    except RuntimeError as error:
        raise ModelError(
            f"OpenVINO cannot open {path} ({first_line(error)}); delete it, and run again"
        ) from error
    return Backend("openvino", "cam", partial(_run, compiled), {"openvino": version("openvino")})


def _run(compiled: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    sides = [each.get_length() for each in list(compiled.input(INPUT).get_partial_shape())[1:]]
    # Copies: the next batch overwrites the memory of these results.
    found = compiled({INPUT: as_input(images, sides)}, share_inputs=True, share_outputs=False)
    logits, maps = (torch.from_numpy(found[name]) for name in OUTPUTS)
    return logits, maps
