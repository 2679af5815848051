"""From a photograph to the network's input: pixels in [0, 1], not standardised (paper §3.1)."""

from functools import partial

from PIL import Image
from torchvision import transforms as T
from torchvision.transforms import InterpolationMode

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CROP_FRACTION = 0.875  # of the resized image that the centre crop keeps
THINNEST = 100  # long side over short side; a thinner image loses its ends


def eval_transform(
    size: int = 224, *, squash: bool | None = None, channels: int = 3, standardise: bool = False
) -> T.Compose:
    """PIL image → (channels, size, size) tensor in [0, 1].

    Args:
        size: side of the result in pixels.
        squash: True resizes the whole image to a square, False crops the centre out of it. None
            does as the authors did for their accuracies: squash at 448 and above, crop below.
            Cropping at 448 costs 1 to 1.5 points.
        channels: 3 for RGB, 1 for grey.
        standardise: subtract ImageNet's mean and divide by its std, which the paper does not do.
    """
    bilinear = InterpolationMode.BILINEAR
    if squash is None:
        squash = size >= 448
    if squash:
        resize = [T.Resize((size, size), bilinear)]
    else:
        resize = [T.Resize(round(size / CROP_FRACTION), bilinear), T.CenterCrop(size)]
    return T.Compose([_convert(channels), *resize, T.ToTensor(), *_standard(channels, standardise)])


def train_transform(
    size: int = 224,
    *,
    channels: int = 3,
    autoaugment: str = "imagenet",
    cutout: float = 0.5,
    cutout_area: float = 0.25,
    crop_area: float = 0.08,
    flip: bool = True,
    standardise: bool = False,
) -> T.Compose:
    """PIL image → randomly cropped, flipped, augmented and cut-out tensor in [0, 1] (§3.1).

    The tensor is (channels, size, size). The paper names AutoAugment and Cutout without their
    settings; here AutoAugment has its ImageNet policy, and half of the images lose a square of a
    quarter of their area.

    Args:
        size: side of the result in pixels.
        channels: 3 for RGB, 1 for grey.
        autoaugment: the policy: "imagenet", "cifar10", "svhn"; "off" for none.
        cutout: the probability that an image loses a square.
        cutout_area: the square's part of the image.
        crop_area: the least part of the image that a crop shows; 1 squashes all of it into the
            square.
        flip: mirror every other image.
        standardise: subtract ImageNet's mean and divide by its std at the end.
    """
    square, bilinear = (size, size), InterpolationMode.BILINEAR
    steps = [
        _convert(channels),
        T.RandomResizedCrop(size, (crop_area, 1.0), interpolation=bilinear)
        if crop_area < 1
        else T.Resize(square, bilinear),
        *([T.RandomHorizontalFlip()] if flip else []),
        *([T.AutoAugment(T.AutoAugmentPolicy(autoaugment))] if autoaugment != "off" else []),
        T.ToTensor(),
        *([T.RandomErasing(cutout, (cutout_area, cutout_area), (1.0, 1.0))] if cutout else []),
    ]
    return T.Compose([*steps, *_standard(channels, standardise)])


def without_thin_ends(image: Image.Image) -> Image.Image:
    """The middle of an image thinner than 1 : 100, which takes gigabytes to resize by its side."""
    width, height = image.size
    wide, high = min(width, THINNEST * height), min(height, THINNEST * width)
    if (wide, high) == image.size:
        return image
    left, top = (width - wide) // 2, (height - high) // 2
    return image.crop((left, top, left + wide, top + high))


def _convert(channels: int) -> T.Compose:
    mode = {1: "L", 3: "RGB"}[channels]
    return T.Compose([without_thin_ends, partial(Image.Image.convert, mode=mode)])


def _standard(channels: int, standardise: bool) -> list[T.Normalize]:
    """ImageNet's mean and std as a step; of grey, the averages over the channels."""
    if not standardise:
        return []
    rows = (IMAGENET_MEAN, IMAGENET_STD)
    return [T.Normalize(*(row if channels == 3 else [sum(row) / 3] for row in rows))]
