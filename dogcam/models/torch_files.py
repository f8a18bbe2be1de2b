"""Read files of `torch.save` without running anything that they contain."""

import re
from pathlib import Path
from pickle import UnpicklingError
from struct import unpack
from typing import Any

import torch

from dogcam.errors import ModelError

_NUMBERS = {
    "f8": "d", "f4": "f", "f2": "e", "b1": "?",
    "i8": "q", "i4": "i", "i2": "h", "i1": "b", "u8": "Q", "u4": "I", "u2": "H", "u1": "B",
}  # fmt: skip
"""numpy's codes of plain numbers, and the codes of `struct`."""


class _ScalarType:
    """Stands in for `numpy.dtype` while a pickle is read; knows plain numbers only."""

    def __init__(self, code: str, *flags: object):
        if code not in _NUMBERS:
            raise UnpicklingError(f"GLOBAL numpy.dtype({code!r})")
        self.format = "<" + _NUMBERS[code]

    def __setstate__(self, state: tuple) -> None:
        if state[1] == ">":
            self.format = ">" + self.format[1:]


def _scalar(kind: _ScalarType, data: bytes) -> float | int | bool:
    """Stand in for numpy's function that makes a scalar from its dtype and its bytes."""
    return unpack(kind.format, data)[0]


class _Settings(dict):
    """Stands in for the records of a training's settings, such as `argparse.Namespace`: kept unread."""

    def __init__(self, *values: object, **named: object):
        super().__init__()

    def __setstate__(self, state: object) -> None:
        """Ignore the state."""


_STAND_INS: list[Any] = [
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
    """Return what a file of `torch.save` holds: tensors and plain containers.

    Raises:
        ModelError: if the file is damaged, a TorchScript program, or needs anything else; the message names
            it.
    """
    try:
        with torch.serialization.safe_globals(_STAND_INS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle makes its reader fail in any way there is
        if "TorchScript" in str(error):
            raise ModelError(
                f"{path} is a TorchScript program, whose layers cannot be read. Save the weights of the "
                "network that it was made from, torch.save(network.state_dict(), 'weights.pt'), or those of "
                f"the program: torch.save(torch.jit.load('{path.name}').state_dict(), 'weights.pt')"
            ) from error
        asked_for = re.search(r"GLOBAL (\S+)", str(error))
        if asked_for:
            raise ModelError(
                f"{path} is refused: to read it, {asked_for[1]} would have to be called, and a checkpoint "
                "needs tensors and plain containers only. Save the state alone: "
                "torch.save(network.state_dict(), 'weights.pt')"
            ) from error
        raise ModelError(
            f"{path} cannot be read as a checkpoint ({_detail(error)}); expected safetensors, or a state "
            "dict saved by torch.save. If it was downloaded, delete it and download it again"
        ) from error


def _detail(error: Exception) -> str:
    """Return the telling line of an error of `torch.load`, without its advice to load unsafely."""
    lines = (line.strip() for line in str(error).splitlines())
    telling = [line for line in lines if line and "weights_only" not in line and "Weights only" not in line]
    return f"{type(error).__name__}: {telling[0].split('. ')[0]}" if telling else type(error).__name__
