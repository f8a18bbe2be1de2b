"""The names of the backends. Settings and records use them without importing torch."""

from typing import Literal

BackendName = Literal["torch", "compiled", "onnx", "openvino", "int8"]

EXACT: tuple[BackendName, ...] = ("torch", "compiled", "onnx", "openvino")
"""The backends whose maps differ from the reference by rounding only."""
