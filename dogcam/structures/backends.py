"""The names of the backends: a neutral type, so that settings and records need no torch."""

from typing import Literal

BackendName = Literal["torch", "compiled", "onnx", "int8"]
