"""What happens to features when the photograph moves: in one downsampling layer, in a network.

A layer of stride 2 cannot follow a shift by one pixel exactly: its output would have to move by
half a pixel. An ideal one, whose output holds no folded frequencies, would move by exactly that;
`equivariance_error` is how far a layer is from it. For a network the question is simpler: how much
do its features change (`feature_changes`)?
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tresnet_lite.counting.variants import SCHEMES, scheme_network
from tresnet_lite.experiments.antialias import SCHEME_LABELS
from tresnet_lite.experiments.photographs import square
from tresnet_lite.layers import BlurPool2d
from tresnet_lite.model import ConvNormAct, TResNet
from tresnet_lite.profiles import Profile
from tresnet_lite.records import Conditions, Record, Spread, collect

WINDOW = 8  # shifts by 0 to 7 pixels, down and to the right
# all shifts that a stride of 2 cannot follow, but for multiples of 2
ODD = ((0, 1), (1, 0), (1, 1))


def colour_photographs(size: int) -> Tensor:
    """Six photographs, (6, 3, size, size) in [0, 1]: the largest central squares, made smaller.

    An astronaut, a coffee cup, a cat and a rocket from scikit-image, a temple and a flower from
    scikit-learn.
    """
    names = ("astronaut", "coffee", "chelsea", "rocket", "china", "flower")
    squares = np.stack([np.asarray(square(name, size)) for name in names])
    return torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255


def fourier_shift(x: Tensor, shift: tuple[float, float]) -> Tensor:
    """Move x (..., H, W) down and right by `shift` pixels, as a periodic band-limited signal.

    The shift may have fractions. H and W should be odd: an even number of samples has a frequency
    of ½, and half a pixel further is undefined for it.
    """
    down, right = (torch.fft.fftfreq(n, device=x.device, dtype=x.dtype) for n in x.shape[-2:])
    turns = down[:, None] * shift[0] + right * shift[1]
    return torch.fft.ifft2(torch.fft.fft2(x) * torch.exp(-2j * torch.pi * turns)).real


def equivariance_error(
    layer: nn.Module, x: Tensor, shift: tuple[int, int], stride: int = 2
) -> Tensor:
    """‖D(Tx) − T'D(x)‖ / ‖D(x) − its mean‖ for each image of x (B, C, H, W): 0 is ideal.

    T moves the image by `shift` pixels, T' the output of the layer D by `shift`/`stride`. Images
    wrap around, so that nothing enters or leaves.
    """
    before, after = (_wrapped(layer, moved, stride) for moved in (x, x.roll(shift, dims=(2, 3))))
    difference = after - fourier_shift(before, (shift[0] / stride, shift[1] / stride))
    content = before - before.mean((2, 3), keepdim=True)  # a mean moves nowhere
    return difference.flatten(1).norm(dim=1) / content.flatten(1).norm(dim=1)


def _wrapped(layer: nn.Module, x: Tensor, stride: int, margin: int = 4) -> Tensor:
    """The layer on an image that repeats itself.

    The margin is cut off again, together with the layer's own padding.
    """
    y = layer(F.pad(x, (margin * stride,) * 4, mode="circular"))
    return y[..., margin:-margin, margin:-margin]


FIXED: dict[str, nn.Module] = {  # layers of stride 2 that learn nothing
    "every second pixel": nn.AvgPool2d(1, 2),
    "max pool 3×3 /2": nn.MaxPool2d(3, 2, padding=1),
    "average 2×2 /2": nn.AvgPool2d(2),
    "blur 3×3 /2": BlurPool2d(2),
}


def convolutions(images: Tensor, seed: int = 0) -> dict[str, nn.Module]:
    """A convolution of stride 2 and TResNet's replacement, of the same weights.

    They take (B, 3, H, W) to (B, 16, H/2, W/2).
    """
    options = {"stride": 2, "norm": "bn", "activation": "leaky_relu", "slope": 1e-3}
    units = {}
    for name, antialias in (("conv 3×3 /2", False), ("conv 3×3, blur /2", True)):
        torch.manual_seed(seed)
        unit = ConvNormAct(3, 16, 3, antialias=antialias, **options)
        units[name] = calibrate(unit, images)
    return units


@torch.no_grad()
def calibrate(model: nn.Module, images: Tensor) -> nn.Module:
    """Set the statistics of a model's BatchNorms to those of `images`, then evaluation mode."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0  # the batch replaces what was there
    model.train()(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model.eval()


@torch.no_grad()
def shift_errors(images: Tensor, seeds: int = 5) -> pd.DataFrame:
    """`equivariance_error` of each downsampling layer.

    Quartiles over images, odd shifts and the convolutions' seeds.
    Columns: layer, shift_error, q1, q3.
    """
    layers = {name: [layer] for name, layer in FIXED.items()}
    for seed in range(seeds):
        for name, layer in convolutions(images, seed).items():
            layers.setdefault(name, []).append(layer)
    rows = []
    for name, seeded in layers.items():
        errors = [equivariance_error(layer, images, shift) for layer in seeded for shift in ODD]
        spread = Spread.over(torch.cat(errors).tolist())
        rows.append((name, spread.median, spread.q1, spread.q3))
    return pd.DataFrame(rows, columns=["layer", "shift_error", "q1", "q3"])


def views(photos: Tensor, size: int) -> Tensor:
    """All crops of photos (B, C, size + 7, size + 7), by place: down, then right.

    Returns (8, 8, B, C, size, size).
    """
    return photos.unfold(2, size, 1).unfold(3, size, 1).permute(2, 3, 0, 1, 4, 5)


def random_network(
    scheme: str, images: Tensor, *, seed: int, width: int, branch: float | None = None
) -> TResNet:
    """TResNet-M without classifier, with random weights, ready to evaluate.

    The norms' statistics are those of `images`. As published, each block starts as its shortcut
    alone, and a network of shortcuts would show nothing. Here a block adds `branch` times its
    normalised branch to the shortcut. None is 1/√(number of blocks), so that all branches together
    weigh about as much as the path of shortcuts. The same seed gives the same weights to every
    scheme.
    """
    torch.manual_seed(seed)
    model = scheme_network(scheme, num_classes=0, width=width, norm="bn")
    blocks = [m for m in model.modules() if hasattr(m, "last_norm")]
    weight = 1 / math.sqrt(len(blocks)) if branch is None else branch
    for block in blocks:
        nn.init.constant_(block.last_norm.weight, weight)
    model.to(images.device, memory_format=torch.channels_last)
    return calibrate(model, images)


@torch.inference_mode()
def feature_changes(model: Callable[[Tensor], Tensor], crops: Tensor) -> Tensor:
    """How far features move when the image does, (8, 8, B), for the crops of `views`.

    In units of the mean distance between two photographs: 0 is no change, 1 as much as another
    photograph.
    """
    # few calls: most cost little
    rows = [model(_channels_last(row.flatten(0, 1))).unflatten(0, row.shape[:2]) for row in crops]
    features = torch.cat(rows)  # (64, B, F)
    apart = torch.pdist(features[0]).mean()
    return ((features - features[0]).norm(dim=2) / apart).unflatten(0, crops.shape[:2])


def _channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)


def measure_shifts(profile: Profile) -> tuple[dict[str, Tensor], list[Record]]:
    """`feature_changes` of every scheme on six photographs, with random weights of several seeds.

    Returns scheme → changes (seeds, 8, 8, B), and their records (see `change_records`).
    """
    size, width = profile.image_size, profile.shift_width
    crops = views(colour_photographs(size + WINDOW - 1).to(profile.device), size)
    # what the norms' statistics are taken from
    corners = crops[:: WINDOW - 1, :: WINDOW - 1].flatten(0, 2)
    changes: dict[str, list[Tensor]] = {scheme: [] for scheme in SCHEMES}
    for seed in range(profile.shift_seeds):
        for scheme, of_seeds in changes.items():
            model = random_network(scheme, _channels_last(corners), seed=seed, width=width)
            of_seeds.append(feature_changes(model, crops).cpu())
    stacked = {scheme: torch.stack(of_seeds) for scheme, of_seeds in changes.items()}
    return stacked, change_records(stacked, profile)


def change_records(changes: Mapping[str, Tensor], profile: Profile) -> list[Record]:
    """Quartiles of the change, and of its ratio, over photographs and seeds.

    One sample is a photograph and a seed, averaged over all shifts. The ratio is to "avgpool",
    which has the same weights and sees the same photograph.
    """
    shifts = WINDOW**2 - 1
    means = {s: (change.sum((1, 2)) / shifts).flatten() for s, change in changes.items()}
    batch = next(iter(changes.values())).shape[-1]
    ran = Conditions(batch, profile.image_size, memory_format="channels_last")
    where, case = collect(profile.device), f"random weights, width {profile.shift_width}"

    def record(scheme: str, metric: str, values: Tensor) -> Record:
        spread = Spread.over(values.tolist())
        return Record("antialias", case, scheme, "inference", metric, spread, ran, where)

    ratios = {scheme: values / means["avgpool"] for scheme, values in means.items()}
    absolute = [record(scheme, "shift_change", values) for scheme, values in means.items()]
    return absolute + [record(scheme, "shift_ratio", values) for scheme, values in ratios.items()]


def change_table(records: Sequence[Record]) -> pd.DataFrame:
    """The records of `measure_shifts`, a row per scheme.

    Columns: name, shift_change, spread (its quartiles), shift_ratio, ratio_spread.
    """
    values = {(r.model, r.metric): r.value for r in records}
    rows = []
    for scheme in SCHEMES:
        change, ratio = values[scheme, "shift_change"], values[scheme, "shift_ratio"]
        row = {"name": SCHEME_LABELS[scheme], "shift_change": change.median}
        row |= {"spread": (change.q1, change.q3), "shift_ratio": ratio.median}
        rows.append({**row, "ratio_spread": (ratio.q1, ratio.q3)})
    return pd.DataFrame(rows)


@torch.inference_mode()
def agreement(model: Callable[[Tensor], Tensor], crops: Tensor) -> float:
    """Zhang's consistency: of all pairs of shifts of a photograph, how many get the same class."""
    first = torch.stack([model(images).argmax(1) for images in crops.flatten(0, 1)])  # (64, B)
    # a shift agrees with itself
    same = (first[:, None] == first[None]).float().sum((0, 1)) - len(first)
    return (same / (len(first) * (len(first) - 1))).mean().item()
