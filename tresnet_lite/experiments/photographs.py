"""The photographs that come with scikit-image and scikit-learn."""

from __future__ import annotations

from PIL import Image, ImageOps
from skimage import data
from sklearn.datasets import load_sample_image

# These lie in scikit-image itself, the others it would have to fetch.
SKIMAGE = ("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "moon")
SKIMAGE += ("retina", "deep field", "rocket", "text", "tissue")
FUNCTIONS = {"deep field": "hubble_deep_field", "tissue": "immunohistochemistry"}  # of skimage.data
SKLEARN = ("china", "flower")


def sample_photograph(name: str) -> Image.Image:
    """A photograph by its name in `SKIMAGE` or `SKLEARN`."""
    if name in SKLEARN:
        return Image.fromarray(load_sample_image(f"{name}.jpg"))
    return Image.fromarray(getattr(data, FUNCTIONS.get(name, name))())


def square(name: str, size: int, mode: str = "RGB") -> Image.Image:
    """The largest central square of a photograph, brought to size × size; mode "L" is grey."""
    image = sample_photograph(name).convert(mode)
    return ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
