"""Arrays in one safetensors file, mapped into memory: read page by page as they are used, never copied whole.

The library reads and writes such files through memory; these two do it through the page cache, so that arrays larger
than memory can be made and used. Format: 8 bytes with the header's length, a JSON header, the arrays one after another
(https://huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ingestion.errors import ArtifactError

Array = NDArray[Any]

_NAMES = {"int64": "I64", "int8": "I8", "float32": "F32"}
_TYPES = {name: np.dtype(dtype) for dtype, name in _NAMES.items()}
_ALIGNMENT = 8


def create_mapped(path: Path, shapes: Mapping[str, tuple[tuple[int, ...], type]]) -> dict[str, Array]:
    """A new file of arrays of these shapes and types (int64, int8, float32), zeros, mapped for writing.

    What is written is in the page cache; closing is not needed, whoever publishes the file syncs it.
    """
    header: dict[str, Any] = {}
    end = 0
    for name, (shape, kind) in sorted(shapes.items(), key=lambda item: -np.dtype(item[1][1]).itemsize):
        size = math.prod(shape) * np.dtype(kind).itemsize
        header[name] = {"dtype": _NAMES[np.dtype(kind).name], "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = orjson.dumps(header)
    text += b" " * (-len(text) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    return _mapped(path, header, 8 + len(text), "r+")


def open_mapped(path: Path) -> dict[str, Array]:
    """The arrays of a file, read-only. The file must have been checked against its hash before."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length < path.stat().st_size:
            raise ArtifactError(f"{path} is no safetensors file.", remedy="Remove its folder; it is made again.")
        header = orjson.loads(file.read(length))
    header.pop("__metadata__", None)
    return _mapped(path, header, 8 + length, "r")


def _mapped(path: Path, header: dict[str, Any], start: int, mode: str) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    for name, entry in header.items():
        shape, dtype = tuple(entry["shape"]), _TYPES[entry["dtype"]]
        if math.prod(shape) == 0:  # nothing to map
            arrays[name] = np.zeros(shape, dtype)
            continue
        mapped = np.memmap(path, dtype, mode, offset=start + entry["data_offsets"][0], shape=shape)  # type: ignore[call-overload]
        arrays[name] = np.asarray(mapped)  # a plain array over the same pages: kernels are compiled once for both
    return arrays
