"""A few small images and a network of a few weights, for the tests of training."""

from functools import partial

import torch
from torch import nn

from tresnet_lite.layers import InPlaceABN
from tresnet_lite.train import Data, Recipe, build_network, train
from tresnet_lite.train.data import Scans

# Bitwise equality and learning in float32 are a CPU's; a GPU trains in float16 by default.
train_on_cpu = partial(train, device="cpu")
CLASSES = ("a", "b", "c")
RECIPE = Recipe(
    epochs=2,
    size=20,
    batch=8,
    lr=0.05,
    autoaugment="svhn",
    cutout_area=0.1,
    crop_area=0.7,
    ema=0.9,
    squash=True,
)


def scans(count, seed=0):
    """Grey images, each class of its own brightness, with noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % len(CLASSES)
    noise = torch.rand(count, 1, 20, 20, generator=generator)
    return Scans(0.6 * labels.float()[:, None, None, None] / 2 + 0.4 * noise, labels)


def data(train=36, test=21):
    return Data("scans", scans(train), scans(test, seed=1), CLASSES, channels=1)


def tresnet(seed=0, **options):
    torch.manual_seed(seed)
    small = {"width": 4, "depths": (1, 1, 1, 1), "se_reduction": "paper"}
    return build_network("tresnet_m", num_classes=len(CLASSES), in_chans=1, **{**small, **options})


class Tiny(nn.Module):
    """A convolution, a norm if wanted, dropout if wanted, a classifier; in double precision, to
    compare closely.
    """

    def __init__(self, norm=True, dropout=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 6, 3, stride=2)
        self.norm = InPlaceABN(6, weight_sign="signed") if norm else nn.LeakyReLU()
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(6, len(CLASSES))
        self.double()

    def forward(self, x):
        return self.head(self.drop(self.norm(self.conv(x.double())).mean((2, 3))))


def same(one, other):
    """Whether two state dicts are the same to the bit."""
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
