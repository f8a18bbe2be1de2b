"""Keep compiled templates: in memory for both formats, and next to Python's own compiled modules."""

import contextlib
import importlib.util
import io
import pickle
import sys
from pathlib import Path

import jinja2
from jinja2.bccache import Bucket

from dogcam.errors import OutputError
from dogcam.files import atomic_write
from report.render.loader import templates_folder


class CompiledTemplates(jinja2.BytecodeCache):
    """Compile each template once for both formats, and the program's own once for all renderings.

    A file holds the hash of the template's source and the version of Python; one that differs is ignored. As
    with compiled modules, a folder that cannot be written costs time only.

    Args:
        folder: of the files; None for the `__pycache__` of this package.
        own: the folder of the program's own templates; those of a user are kept in memory only.
    """

    def __init__(self, folder: Path | None = None, own: Path | None = None) -> None:
        self._folder = folder or Path(importlib.util.cache_from_source(__file__)).parent
        self._own = own or templates_folder()
        self._code: dict[str, bytes] = {}
        self._files: dict[str, Path] = {}

    def get_cache_key(self, name: str, filename: str | None = None) -> str:
        """Return the key of a template, by its name and path."""
        key = super().get_cache_key(name, filename)
        if filename is not None and Path(filename).is_relative_to(self._own):
            self._files[key] = self._folder / f"template-{key[:16]}.{sys.implementation.cache_tag}.jinja"
        return key

    def load_bytecode(self, bucket: Bucket) -> None:
        """Fill a bucket from memory or from its file."""
        code = self._code.get(bucket.key)
        if code is None and bucket.key in self._files:
            with contextlib.suppress(OSError):
                code = self._files[bucket.key].read_bytes()
        if code is None:
            return
        try:
            bucket.load_bytecode(io.BytesIO(code))
        except (EOFError, ValueError, pickle.UnpicklingError):
            bucket.reset()
        if bucket.code is not None:
            self._code[bucket.key] = code

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what a template was compiled into."""
        self._code[bucket.key] = code = bucket.bytecode_to_string()
        if bucket.key in self._files and not sys.dont_write_bytecode:
            with contextlib.suppress(OutputError):
                atomic_write(self._files[bucket.key], code)
