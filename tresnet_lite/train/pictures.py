"""Pictures from anywhere: opened in formats that we name, as RGB, in bounded memory."""

from __future__ import annotations

import os
import struct

import numpy as np
from PIL import Image

# Those that photographs come in. Of an unnamed one, Pillow runs another program: EPS, by whatever
# name the file goes, starts Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
THINNEST = 100  # long side over short side; what is thinner loses its ends


class PictureError(ValueError):
    """A file that is no picture, is broken, or is too large; the message says which."""


# Of data sets that open their pictures themselves: what Pillow raises for broken files.
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
    """A picture in RGB, of at most `Image.MAX_IMAGE_PIXELS`: Pillow's limit, of which it warns.

    16 bits of grey become 8, as Pillow itself does with 16 bits of colour. A picture that is
    thinner than 1 : 100 loses its ends: resized by its short side, it would take gigabytes.

    Raises:
        PictureError: whatever the file holds that is not such a picture.
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise PictureError("not a file")  # reading a pipe would never end
        with Image.open(path, formats=FORMATS) as image:
            limit = Image.MAX_IMAGE_PIXELS
            if limit and image.width * image.height > limit:
                raise PictureError(f"{image.width} × {image.height} pixels: more than {limit:,}")
            return _without_thin_ends(_eight_bits(image)).convert("RGB")
    except PictureError:
        raise
    except Exception as error:  # decoders raise many kinds, of which they document few
        raise PictureError(f"{type(error).__name__}: {error}") from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits as grey of 8; Pillow would make white of all that is over 255."""
    if image.mode != "I" and image.mode != "F" and not image.mode.startswith("I;"):
        return image
    pixels = np.asarray(image)
    if image.mode == "F" or pixels.min() < 0 or pixels.max() >= 2**16:
        raise PictureError(f"{pixels.dtype} pixels, of which white is unknown: save it in 8 bits")
    return Image.fromarray((pixels >> 8).astype(np.uint8))


def _without_thin_ends(image: Image.Image) -> Image.Image:
    width, height = image.size
    wide, high = min(width, THINNEST * height), min(height, THINNEST * width)
    if (wide, high) == (width, height):
        return image
    left, top = (width - wide) // 2, (height - high) // 2
    return image.crop((left, top, left + wide, top + high))
