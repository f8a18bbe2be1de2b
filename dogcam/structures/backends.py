"""The names of the backends. Settings and records use them without importing torch."""

from typing import Literal

BackendName = Literal["torch", "compiled", "onnx", "int8"]
