"""Pictures from anywhere: opened in formats that we name, as RGB, in bounded memory."""

from __future__ import annotations

import os
import struct

import numpy as np
from PIL import Image

from tresnet_lite.transforms import without_thin_ends

# The usual formats of photographs. Left to choose, Pillow would start Ghostscript for an EPS file,
# whatever the file's name.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")


class PictureError(ValueError):
    """A file that is not a picture, is broken, or is too large; the message says which."""


# What Pillow raises for broken files, in data sets that open their pictures themselves.
UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    ArithmeticError,
    LookupError,
    MemoryError,
    struct.error,
    Image.DecompressionBombError,
)


def open_picture(path: str | os.PathLike[str]) -> Image.Image:
    """A picture in RGB, of at most `Image.MAX_IMAGE_PIXELS`, beyond which Pillow only warns.

    16-bit grey becomes 8-bit, as Pillow does itself with 16-bit colour. A picture thinner than
    1 : 100 loses its ends: resized by its short side, it would take gigabytes.

    Raises:
        PictureError: the file holds no such picture, or anything else went wrong.
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise PictureError("not a file")  # reading a pipe would never end
        with Image.open(path, formats=FORMATS) as image:
            limit = Image.MAX_IMAGE_PIXELS
            if limit and image.width * image.height > limit:
                raise PictureError(
                    f"{image.width} × {image.height} pixels: at most {limit:,} in all"
                )
            return without_thin_ends(_eight_bits(image)).convert("RGB")
    except PictureError:
        raise
    except Exception as error:  # decoders raise many kinds of errors
        raise PictureError(f"{type(error).__name__}: {error}") from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit grey; Pillow's own conversion turns all above 255 white."""
    if image.mode != "I" and image.mode != "F" and not image.mode.startswith("I;"):
        return image
    pixels = np.asarray(image)
    if image.mode == "F" or pixels.min() < 0 or pixels.max() >= 2**16:
        raise PictureError(f"{pixels.dtype} pixels have no known white: save it in 8 bits")
    return Image.fromarray((pixels >> 8).astype(np.uint8))
