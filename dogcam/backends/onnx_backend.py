"""Run an ONNX file by ONNX Runtime."""

from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dogcam.backends.backend import Backend, BackendName
from dogcam.backends.onnx_file import INPUT, OUTPUTS, as_input
from dogcam.errors import ModelError, first_line


def onnx_backend(path: Path, name: BackendName, threads: int | None = None) -> Backend:
    """Open an exported network.

    Args:
        path: the file.
        name: `onnx` or `int8`, according to the file.
        threads: number of threads for one batch; None for as many as torch uses.

    Raises:
        ModelError: if ONNX Runtime cannot open the file.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.inter_op_num_threads = 1
    # Idle threads must not spin: they would take a core from the preparation of the next batch.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the errors of the library have no common class
        raise ModelError(f"{path} is damaged ({first_line(error)}); delete it, and run again") from error
    return Backend(name, "cam", partial(_run, session), {"onnxruntime": version("onnxruntime")})


def _run(session: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    (given,) = session.get_inputs()
    logits, maps = session.run(OUTPUTS, {INPUT: as_input(images, given.shape[1:])})
    return torch.from_numpy(logits), torch.from_numpy(maps)
