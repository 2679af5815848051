"""The paper's preprocessing: values in [0, 1], a centre crop at 224, the whole image squashed at
448.
"""

import numpy as np
import pytest
import torch
from PIL import Image

from tresnet_lite.transforms import eval_transform, train_transform, without_thin_ends


def photograph(width, height):
    """Left to right from black to white, so that a column's value tells where in the image it
    lay.
    """
    ramp = np.linspace(0, 255, width).round().astype(np.uint8)
    return Image.fromarray(np.broadcast_to(ramp[None, :, None], (height, width, 3)).copy())


@pytest.mark.parametrize(
    ("size", "squash", "visible"),
    [(224, None, 0.4375), (448, None, 1.0), (448, False, 0.4375), (224, True, 1.0)],
)
def test_what_is_seen_of_a_wide_photograph(size, squash, visible):
    """Of a 2:1 image the crop keeps 0.875 of the height, so 0.4375 of the width; the squash keeps
    it all.
    """
    x = eval_transform(size, squash=squash)(photograph(1200, 600))
    assert x.shape == (3, size, size)
    seen = x[0, 0, -1] - x[0, 0, 0]
    assert seen.item() == pytest.approx(visible, abs=2 / 256 + 1 / size)


def test_values_are_the_pixels_over_255():
    image = Image.new("RGB", (300, 300), (0, 51, 255))
    x = eval_transform(224)(image)
    assert torch.equal(x.amin((1, 2)), torch.tensor([0.0, 51 / 255, 1.0])) and torch.equal(
        x.amin((1, 2)), x.amax((1, 2))
    )


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_any_mode_becomes_rgb(mode):
    assert eval_transform(224)(photograph(300, 300).convert(mode)).shape == (3, 224, 224)


def test_training_images():
    torch.manual_seed(0)
    batch = torch.stack([train_transform(64)(photograph(120, 90)) for _ in range(40)])
    assert batch.shape == (40, 3, 64, 64) and batch.min() >= 0 and batch.max() <= 1
    assert not torch.equal(batch[0], batch[1])


@pytest.mark.parametrize("size", [(20_000, 4), (4, 20_000)])
def test_of_a_thin_image_the_middle_is_seen(size):
    """Resized by its short side, the whole would first be over a million pixels long: 1 GB."""
    image = Image.radial_gradient("L").resize(size)
    middle = without_thin_ends(image)
    assert sorted(middle.size) == [4, 400]
    # the crop keeps 0.875 of the short side, far from the ends
    assert torch.equal(eval_transform(224)(image), eval_transform(224)(middle))
    left, top = ((20_000 - 400) // 2 if side == 20_000 else 0 for side in size)
    assert middle.getpixel((0, 0)) == image.getpixel((left, top))


def test_an_image_of_usual_proportions_stays_whole():
    for size in ((300, 200), (400, 4)):
        image = Image.radial_gradient("L").resize(size)
        assert without_thin_ends(image) is image
