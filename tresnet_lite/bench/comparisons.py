"""What is timed against each other: networks, or parts, that one process runs in turn.

Speeds are compared within a process, and the spread of a ratio is taken over processes: how fast
two networks run differs between processes and hours by more than their ratio does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from tresnet_lite.ablation import ablation_ladder
from tresnet_lite.counting import variants
from tresnet_lite.counting.networks import build
from tresnet_lite.counting.variants import BEFORE, CORNERS, MIXES
from tresnet_lite.records.records import INFERENCE_FIRST

SIDES = (224, 240, 260, 300, 380, 456, 528, 600)  # of EfficientNet-B0 to B7 (Tan and Le, 2019)
EFFICIENTNETS = {f"efficientnet_b{number}": side for number, side in enumerate(SIDES)}
TABLE1 = (
    "resnet50",
    "resnet50d",
    "resnext50_32x4d",
    "efficientnet_b1",
    "seresnext50_32x4d",
    "mixnet_l",
    "tresnet_m",
)
TABLE3 = ("resnet50", "tresnet_m", "tresnet_l", "tresnet_xl")
TRESNETS = TABLE3[1:]
TABLES = {  # of networks at their own resolutions → those it shows
    "table1": TABLE1,
    "table3": TABLE3,
    "table5": TRESNETS,
    "figure4": (*TRESNETS, *EFFICIENTNETS),
    "figure5": (*TRESNETS, *EFFICIENTNETS),
}
ONE_PHASE = {"figure4": "inference", "figure5": "training"}  # suites with one phase


def side(resolution: int, image_size: int) -> int:
    """What stands for a resolution where images of `image_size` stand for those of 224 pixels."""
    return resolution if image_size == 224 else max(32, resolution * image_size // 224 // 32 * 32)


def to_scalar(output: Tensor) -> Tensor:
    """The loss of what gives no classes."""
    return output.float().mean()


@dataclass(frozen=True)
class Comparison:
    """Networks, or parts of them, that are timed against each other.

    Attributes:
        suite, case: what the records are filed under; for networks of several tables `suites_of`.
        build: channels of the first stage (`Profile.width`) → name → network.
        timed: phase → the networks timed in it.
        peaks: also take the peak memory of a step of each network timed in training.
        loss: in training, output → scalar; None: a classifier's.
        inputs: (batch, image size, phase) → what the networks take in place of images.
        once: an indication, which one process gives: nothing is judged by it.
    """

    suite: str
    case: str
    build: Callable[[int], Mapping[str, nn.Module]]
    timed: Mapping[str, Collection[str]]
    peaks: bool = False
    loss: Callable[[Tensor], Tensor] | None = None
    inputs: Callable[[int, int, str], Tensor] | None = None
    once: bool = False
    name: str = field(default="", kw_only=True)

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for phase in INFERENCE_FIRST for name in self.in_(phase)))

    def in_(self, phase: str) -> Collection[str]:
        return self.timed.get(phase, ())

    def suites_of(self, model: str, phase: str) -> list[str]:
        """The suites that show a model's speed in a phase."""
        if self.case != "networks":
            return [self.suite]
        shown = [suite for suite, models in TABLES.items() if model in models]
        return [suite for suite in shown if ONE_PHASE.get(suite, phase) == phase]


def both(*names: str) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(INFERENCE_FIRST, names)


def _networks(names: Collection[str]) -> Callable[[int], dict[str, nn.Module]]:
    return lambda width: {name: build(name) for name in names}


def _maps(channels: int, stride: int) -> Callable[[int, int, str], Tensor]:
    """What a part inside a network sees, at a `stride`-th of the image's side."""

    def inputs(batch: int, side: int, phase: str) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        maps = torch.rand(batch, channels, side // stride, side // stride, generator=generator)
        # inside a network, a part's backward pass goes on to its input
        return maps.requires_grad_(phase == "training")

    return inputs


STEMS = ("conv7x7", "resnet_d", "space_to_depth")
NORMS = ("batchnorm", *variants.TARGETS)
BLURRED = ("strided", "economic", "zhang", "full")  # in training we spare the time for averages
SUCCESSORS = tuple(dict.fromkeys((*TABLE1, *TABLE3)))
LADDER = tuple(ablation_ladder())

# Parts and Table 3's networks are built at their full width, whatever the profile's.
ALL = (
    Comparison("table3", "networks", _networks(TABLE3[:2]), both(*TABLE3[:2]), name="table3/m"),
    Comparison("table1", "networks", _networks(SUCCESSORS), both(*SUCCESSORS), name="tables/all"),
    Comparison("table4", "ladder", _networks(LADDER), both(*LADDER)),
    Comparison(
        "stem",
        "resnet50",
        lambda width: {**variants.stem_networks(), "resnet50_d": variants.resnet50_d()},
        both(*STEMS, "resnet50_d"),
    ),
    Comparison(
        "stem",
        "alone",
        lambda width: variants.stems(),
        both(*STEMS, "space_to_depth_1x1"),
        loss=to_scalar,
    ),
    Comparison(
        "antialias",
        "tresnet_m",
        variants.scheme_networks,
        {"inference": tuple(variants.SCHEMES), "training": BLURRED},
        peaks=True,
    ),
    Comparison("memory", "tresnet_m", variants.memory_networks, {"training": NORMS}, peaks=True),
    Comparison(
        "memory",
        "activation",
        variants.activation_networks,
        both("relu", "leaky_relu", "iabn"),
    ),
    Comparison("memory", "batch", variants.batch_networks, both("whole", "quarters")),
    Comparison(
        "memory",
        "activation alone",
        lambda width: variants.activation_layers(),
        both("ReLU", "LeakyReLU", "SiLU", "Mish"),
        loss=to_scalar,
        inputs=_maps(64, stride=4),  # the first stage's
    ),
    Comparison(
        "blocks",
        "mixes",
        partial(variants.mix_networks, (*CORNERS, BEFORE)),
        both(*CORNERS, BEFORE),
    ),
    Comparison(
        "blocks",
        "every mix",
        partial(variants.mix_networks, MIXES),
        {"inference": MIXES},
        once=True,
    ),
    Comparison("se", "stages", variants.se_networks, both(*variants.SE_STAGES), peaks=True),
    Comparison(
        "se",
        "block",
        lambda width: variants.se_blocks(),
        both("none", "inside", "end"),
        loss=to_scalar,
        inputs=_maps(1024, stride=16),  # the third stage's
    ),
)
COMPARISONS = {c.name or f"{c.suite}/{c.case}": c for c in ALL}
