"""An image of any common kind as the bytes of a file: arrays, matplotlib figures, PIL images, image files.

An array becomes a PNG without any image library; for other formats Pillow is asked.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

from everloop.errors import InvalidError, NotFoundError, NotInstalledError

SUFFIXES = (".jpg", ".jpeg", ".gif", ".png")
_COLOUR_OF = {1: 0, 2: 4, 3: 2, 4: 6}  # channels → PNG's colour type


def image_bytes(name: str, image: Any) -> bytes:
    """Return the bytes of the file `name`, whose suffix says the format.

    Args:
        image: An array `(height, width)` or `(height, width, 1 to 4 channels)` of uint8; a matplotlib figure; a PIL
            image; or the path of an image file, which is taken as it is.

    Raises:
        InvalidError: The suffix is not one of `SUFFIXES`, or the value is no image.
        NotFoundError: There is no such file.
        NotInstalledError: Pillow is needed to write an array in this format.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidError(
            f"image {name!r} has no suffix that says its format", hint=f"End it with one of {', '.join(SUFFIXES)}."
        )
    if isinstance(image, str | os.PathLike):
        path = Path(image)
        if not path.is_file():
            raise NotFoundError(f"image {name!r}: there is no file {path}")
        return path.read_bytes()
    if hasattr(image, "savefig"):
        return _saved(image.savefig, "jpeg" if suffix == ".jpg" else suffix[1:])
    if hasattr(image, "__array_interface__") and not hasattr(image, "save"):
        return _array_bytes(name, image, suffix)
    if hasattr(image, "save"):
        return _saved(image.save, "jpeg" if suffix == ".jpg" else suffix[1:])
    raise InvalidError(
        f"image {name!r} is a {type(image).__name__}", hint="Give an array, a figure, a PIL image or a path."
    )


def png(width: int, height: int, channels: int, data: bytes) -> bytes:
    """Return 8-bit pixels, row by row from the top, as a PNG (W3C PNG, third edition)."""
    stride = width * channels
    rows = b"".join(b"\0" + data[start : start + stride] for start in range(0, height * stride, stride))
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_OF[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(text)) + kind + text + struct.pack(">I", zlib.crc32(kind + text)) for kind, text in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def _array_bytes(name: str, array: Any, suffix: str) -> bytes:
    shape = tuple(array.shape)
    channels = 1 if len(shape) == 2 else shape[-1]
    if array.dtype != "uint8" or len(shape) not in (2, 3) or channels not in _COLOUR_OF or 0 in shape:
        raise InvalidError(
            f"image {name!r} is an array of {array.dtype} with shape {shape}",
            hint="Give uint8, (height, width) or (height, width, channels) of 1 to 4 channels: (x * 255).astype('u1')",
        )
    if suffix == ".png":
        return png(shape[1], shape[0], channels, array.tobytes())
    try:
        from PIL import Image
    except ImportError as error:
        raise NotInstalledError(
            f"image {name!r}: an array becomes {suffix} with Pillow only", hint="pip install pillow, or name it .png"
        ) from error
    pixels = array.reshape(shape[:2]) if channels == 1 else array
    return _saved(Image.fromarray(pixels).save, "jpeg" if suffix == ".jpg" else suffix[1:])


def _saved(save: Any, kind: str) -> bytes:
    buffer = io.BytesIO()
    save(buffer, format=kind)
    return buffer.getvalue()
