"""From a photograph to the network's input: pixels in [0, 1], no mean and no std (paper §3.1)."""

from PIL import Image
from torchvision import transforms as T
from torchvision.transforms import InterpolationMode

CROP_FRACTION = 0.875  # of the resized image that the centre crop keeps


def eval_transform(size: int = 224, *, squash: bool | None = None) -> T.Compose:
    """PIL image → (3, size, size) tensor in [0, 1].

    Args:
        size: side of the result in pixels.
        squash: True resizes the whole image to a square, False crops the centre out of it. None does as the authors
            did for their accuracies: squash at 448 and above, crop below. Cropping at 448 costs 1 to 1.5 points.
    """
    if size >= 448 if squash is None else squash:
        resize = [T.Resize((size, size), InterpolationMode.BILINEAR)]
    else:
        resize = [T.Resize(round(size / CROP_FRACTION), InterpolationMode.BILINEAR), T.CenterCrop(size)]
    return T.Compose([T.Lambda(_to_rgb), *resize, T.ToTensor()])


def train_transform(size: int = 224) -> T.Compose:
    """PIL image → randomly cropped, flipped, auto-augmented and cut-out (3, size, size) tensor in [0, 1] (§3.1).

    The paper names AutoAugment and Cutout without their settings; here AutoAugment has its ImageNet policy, and half of
    the images lose a square of a quarter of their area.
    """
    return T.Compose(
        [
            T.Lambda(_to_rgb),
            T.RandomResizedCrop(size, interpolation=InterpolationMode.BILINEAR),
            T.RandomHorizontalFlip(),
            T.AutoAugment(T.AutoAugmentPolicy.IMAGENET),
            T.ToTensor(),
            T.RandomErasing(p=0.5, scale=(0.25, 0.25), ratio=(1.0, 1.0)),
        ]
    )


def _to_rgb(image: Image.Image) -> Image.Image:
    return image.convert("RGB")
