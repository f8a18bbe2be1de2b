"""Read files of `torch.save` without running code that they contain."""

import re
from pathlib import Path
from pickle import UnpicklingError
from struct import unpack
from typing import Any

import torch

from dogcam.errors import ModelError
from dogcam.files import unfolds

_NUMBERS = {
    "f8": "d", "f4": "f", "f2": "e", "b1": "?",
    "i8": "q", "i4": "i", "i2": "h", "i1": "b", "u8": "Q", "u4": "I", "u2": "H", "u1": "B",
}  # fmt: skip
"""Codes of numeric types: of numpy, and of `struct`."""


class _ScalarType:
    """Replaces `numpy.dtype` while a pickle is read; supports numeric types only."""

    def __init__(self, code: str, *flags: object):
        if code not in _NUMBERS:
            raise UnpicklingError(f"GLOBAL numpy.dtype({code!r})")
        self.format = "<" + _NUMBERS[code]

    def __setstate__(self, state: tuple) -> None:
        if state[1] == ">":
            self.format = ">" + self.format[1:]


def _scalar(kind: _ScalarType, data: bytes) -> float | int | bool:
    """Replace numpy's function that makes a scalar from its dtype and bytes."""
    return unpack(kind.format, data)[0]


class _Settings(dict):
    """Replaces objects that hold the settings of a training, such as `argparse.Namespace`; stays empty."""

    def __init__(self, *values: object, **named: object):
        super().__init__()

    def __setstate__(self, state: object) -> None:
        """Ignore the state."""


_REPLACEMENTS: list[Any] = [
    (_ScalarType, "numpy.dtype"),
    (_scalar, "numpy.core.multiarray.scalar"),  # numpy 1
    (_scalar, "numpy._core.multiarray.scalar"),  # numpy 2
    *(
        (_Settings, name)
        for name in (
            "argparse.Namespace", "types.SimpleNamespace",
            "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.PurePosixPath", "pathlib._local.PosixPath",
            "lightning.fabric.utilities.data.AttributeDict", "lightning_fabric.utilities.data.AttributeDict",
            "pytorch_lightning.utilities.parsing.AttributeDict",
            "lightning.pytorch.utilities.parsing.AttributeDict",
        )
    ),
]  # fmt: skip


def load_torch(path: Path) -> object:
    """Read a file of `torch.save` that contains only tensors and plain containers.

    Raises:
        ModelError: if the file is damaged, compressed, a TorchScript program, or contains any other object;
            the message names the object.
    """
    if unfolds(path):
        raise ModelError(
            f"{path} is a compressed archive that would take much more memory than its size; expected a file "
            "of torch.save, which is not compressed: save it again"
        )
    try:
        with torch.serialization.safe_globals(_REPLACEMENTS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise any exception
        if "TorchScript" in str(error):
            raise ModelError(
                f"{path} is a TorchScript program, whose layers cannot be read. Save the weights of the "
                "original network, torch.save(network.state_dict(), 'weights.pt'), or those of the program: "
                f"torch.save(torch.jit.load('{path.name}').state_dict(), 'weights.pt')"
            ) from error
        required = re.search(r"GLOBAL (\S+)", str(error))
        if required:
            raise ModelError(
                f"{path} contains the object {required[1]}; expected only tensors and plain containers, "
                "which can be read without running code. Save the state alone: "
                "torch.save(network.state_dict(), 'weights.pt')"
            ) from error
        raise ModelError(
            f"{path} cannot be read as a checkpoint ({_detail(error)}); expected safetensors, or a state "
            "dict saved by torch.save. If it was downloaded, delete it and download it again"
        ) from error


def _detail(error: Exception) -> str:
    """Return the cause from an error of `torch.load`, without its advice to load unsafely."""
    lines = (line.strip() for line in str(error).splitlines())
    telling = [line for line in lines if line and "weights_only" not in line and "Weights only" not in line]
    return f"{type(error).__name__}: {telling[0].split('. ')[0]}" if telling else type(error).__name__
