"""TResNet from its parts up: convolution unit, residual blocks, network, named variants (paper §2).

Paper: TResNet: High Performance GPU-Dedicated Architecture, Ridnik et al., 2021,
https://arxiv.org/abs/2003.13630
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from functools import partial
from numbers import Integral, Real
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from torch import nn

from tresnet_lite.layers import (
    BlurPool2d,
    FastGlobalAvgPool2d,
    InPlaceABN,
    SpaceToDepth,
    SqueezeExcite,
)
from tresnet_lite.layers.checkpointed import CheckpointedStage
from tresnet_lite.layers.plain import is_plain
from tresnet_lite.layers.residual_tail import pointwise_tail, residual_tail

STAGES = (1, 2, 3, 4)


@dataclass(frozen=True)
class TResNetConfig:
    """Everything that tells one network of the family from another.

    The defaults are TResNet-M as published. Where the paper's text and the published code disagree,
    the default follows the code (the published weights need it) and the option named "paper"
    follows the text; :func:`paper_reading` sets them all.

    Attributes:
        depths: residual blocks in each of the four stages (table 2, "Repeats").
        width: channels after the stem; stage i works with width·2^(i-1) channels (table 2).
        blocks: the block type of each stage, "basic" or "bottleneck" (§2.1, block-type selection).
        stem: "space_to_depth" (§2.1, figure 1) or "conv7x7", ResNet50's with its max pool.
        stem_kernel: kernel of the convolution after SpaceToDepth: 3 in the code, 1 in the text.
        se: which stages have squeeze-and-excitation (§2.1: the first three).
        se_reduction: "code" squeezes to max(C/4, 64) channels in a basic block and max(planes/2,
            64) in a bottleneck; "paper" to C/4 and planes/8.
        antialias: stride-2 convolutions become stride-1 convolutions followed by a blur (§2.1,
            figure 2).
        shortcut: how a shortcut drops resolution: "avgpool" (2×2 average, then 1×1 convolution) or
            "strided" (a 1×1 convolution of stride 2, as in ResNet50).
        norm: "iabn" (Inplace-ABN, §2.1) or "bn" (BatchNorm2d, then the activation). Same function,
            same weights.
        activation: after each norm but a block's last: "leaky_relu" (§2.1) or "relu".
        stem_slope, block_slope: leaky ReLU's slope below zero; the text does not state them.
        block_activation: after a block's sum: "relu" in the code; "leaky_relu" as the text has it.
        memory: what training keeps for backward; the function and its gradients are the same.
            "paper" keeps what the published code keeps; "lean" also drops what a multiplication
            gives back or nothing needs (SE products, padded blur inputs); "recompute" repeats each
            bottleneck's last convolution in backward; "min" keeps the blocks' inputs alone and
            repeats their forward. All of it needs norm "iabn"; with "bn" the norms and sums keep
            their inputs, and so does a block's end where a module has a hook or was replaced.
    """

    depths: tuple[int, ...] = (3, 4, 11, 3)
    width: int = 64
    blocks: tuple[str, ...] = ("basic", "basic", "bottleneck", "bottleneck")
    stem: Literal["space_to_depth", "conv7x7"] = "space_to_depth"
    stem_kernel: int = 3
    se: tuple[bool, ...] = (True, True, True, False)
    se_reduction: Literal["code", "paper"] = "code"
    antialias: bool = True
    shortcut: Literal["avgpool", "strided"] = "avgpool"
    norm: Literal["iabn", "bn"] = "iabn"
    activation: Literal["leaky_relu", "relu"] = "leaky_relu"
    stem_slope: float = 1e-2
    block_slope: float = 1e-3
    block_activation: Literal["relu", "leaky_relu"] = "relu"
    memory: Literal["paper", "lean", "recompute", "min"] = "lean"

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(TResNetConfig).items():
            value = getattr(self, name)
            if get_origin(hint) is not tuple:
                check_value(name, hint, value)
                continue
            if not isinstance(value, tuple | list) or len(value) != len(STAGES):
                needs = "needs one entry for each of the four stages"
                raise ValueError(f"{name} {needs}, got {value!r}")
            for entry in value:
                check_value(name, get_args(hint)[0], entry)
        if unknown := set(self.blocks) - set(BLOCKS):
            raise ValueError(f"blocks must be of {tuple(BLOCKS)}, got {sorted(unknown)}")
        if self.width < 1 or min(self.depths) < 1:
            raise ValueError(
                f"width and depths must be positive, got {self.width} and {self.depths}"
            )
        if self.stem_kernel not in (1, 3):
            raise ValueError(
                "stem_kernel must be 3 (published code) or 1 (paper's text), got"
                f" {self.stem_kernel}"
            )

    @property
    def size_step(self) -> int:
        """Image heights and widths must be multiples of this."""
        return 4 if self.stem == "space_to_depth" else 1

    @property
    def min_size(self) -> int:
        """The smallest image side: stage 3 must leave two pixels for the blurs' reflection."""
        smallest = 17 if self.antialias else 1
        return -(-smallest // self.size_step) * self.size_step


def check_value(name: str, kind: Any, value: Any) -> None:
    """Refuse, with a ValueError, what is not of a field's kind: a text for a flag, NaN for a slope.

    Args:
        kind: bool, int, float, str, or a Literal. Floats must be finite and not negative.
    """
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(f"{name} must be one of {get_args(kind)}, got {value!r}")
        return
    abstract, words = {
        bool: (bool, "True or False"),
        int: (Integral, "a whole number"),
        float: (Real, "a finite number, not negative"),
        str: (str, "a text"),
    }[kind]
    good = isinstance(value, abstract) and isinstance(value, bool) == (kind is bool)
    if not good or (kind is float and not 0 <= value < float("inf")):
        raise ValueError(f"{name} must be {words}, got {value!r}")


def make_activation(name: str, slope: float) -> nn.Module:
    """ "leaky_relu", "relu", "elu" or "identity"; ``slope`` is leaky ReLU's, or ELU's α."""
    modules = {
        "leaky_relu": lambda: nn.LeakyReLU(slope, inplace=True),
        "relu": lambda: nn.ReLU(inplace=True),
        "elu": lambda: nn.ELU(slope, inplace=True),
        "identity": nn.Identity,
    }
    return modules[name]()


class ConvNormAct(nn.Module):
    """Convolution → norm → activation → blur if anti-aliased.

    Shapes: (B, C_in, H, W) → (B, C_out, ⌈H/stride⌉, ⌈W/stride⌉).

    Args:
        activation: "leaky_relu", "relu" or "identity".
        antialias: at stride 2, convolve at stride 1 and let a blur do the downsampling (§2.1,
            figure 2).
        memory: "paper" lets the blur keep its input, see :class:`TResNetConfig`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        norm: str,
        activation: str,
        slope: float,
        stride: int = 1,
        antialias: bool = False,
        memory: str = "lean",
    ) -> None:
        super().__init__()
        blur = antialias and stride > 1
        step, padding = 1 if blur else stride, kernel_size // 2
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, step, padding=padding, bias=False
        )
        self.bn: nn.Module
        self.act: nn.Module = nn.Identity()
        if norm == "iabn":
            self.bn = InPlaceABN(
                out_channels, activation=activation, activation_param=slope, weight_sign="signed"
            )
        else:
            self.bn, self.act = nn.BatchNorm2d(out_channels), make_activation(activation, slope)
        self.aa = BlurPool2d(stride, keep_input=memory == "paper") if blur else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.aa(self.act(self.bn(self.conv(x))))

    def may_open(self) -> bool:
        """Whether training may run convolution and norm one by one, instead of calling the unit.

        The unit must be plain (see :mod:`tresnet_lite.layers.plain`), and its norm its end.
        """
        return (
            self.training
            and torch.is_grad_enabled()
            and is_plain(self, ConvNormAct)
            and is_plain(self.act, nn.Identity)
            and is_plain(self.aa, nn.Identity)
        )


def conv_unit(config: TResNetConfig, slope: float) -> "partial[ConvNormAct]":
    """What builds a network's convolution units: its norm, its activation, its ``memory``."""
    norm, activation, memory = config.norm, config.activation, config.memory
    return partial(ConvNormAct, norm=norm, activation=activation, slope=slope, memory=memory)


def make_shortcut(
    in_channels: int, out_channels: int, stride: int, config: TResNetConfig
) -> nn.Module:
    """What brings a block's input to its output's shape; the identity where it has that shape."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    unit = partial(
        conv_unit(config, slope=0.0), in_channels, out_channels, 1, activation="identity"
    )
    if stride == 1 or config.shortcut == "strided":
        return nn.Sequential(unit(stride=stride))
    pool = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
    return nn.Sequential(pool, unit())


class BasicBlock(nn.Module):
    """Two 3×3 convolutions, SE before the residual sum (§2.1, figure 3).

    Shapes: (B, C_in, H, W) → (B, planes, ⌈H/stride⌉, ⌈W/stride⌉).
    """

    expansion = 1

    def __init__(
        self, in_channels: int, planes: int, stride: int, use_se: bool, config: TResNetConfig
    ) -> None:
        super().__init__()
        reduced = planes // 4 if config.se_reduction == "paper" else max(planes // 4, 64)
        unit = conv_unit(config, config.block_slope)
        self.conv1 = unit(in_channels, planes, 3, stride=stride, antialias=config.antialias)
        self.conv2 = unit(planes, planes, 3, activation="identity")
        self.se = SqueezeExcite(planes, reduced) if use_se else nn.Identity()
        self.downsample = make_shortcut(in_channels, planes, stride, config)
        self.act = make_activation(config.block_activation, config.block_slope)

    @property
    def last_norm(self) -> nn.Module:
        """The norm before the residual sum."""
        return self.conv2.bn

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = self.downsample(x)
        x = self.conv1(x)  # 3×3, all of the stride
        if self.conv2.may_open():  # training: what the lines below compute, keeping less of it
            x = self.conv2.conv(x)
            return residual_tail(x, shortcut, self.conv2.bn, self.se, self.act)
        x = self.conv2(x)  # 3×3, norm
        return self.act(self.se(x) + shortcut)


class Bottleneck(nn.Module):
    """1×1 down, 3×3, SE, 1×1 up (§2.1, figure 3).

    Shapes: (B, C_in, H, W) → (B, 4·planes, ⌈H/stride⌉, ⌈W/stride⌉).
    """

    expansion = 4

    def __init__(
        self, in_channels: int, planes: int, stride: int, use_se: bool, config: TResNetConfig
    ) -> None:
        super().__init__()
        reduced = planes // 8 if config.se_reduction == "paper" else max(planes // 2, 64)
        unit = conv_unit(config, config.block_slope)
        self.conv1 = unit(in_channels, planes, 1)
        self.conv2 = unit(planes, planes, 3, stride=stride, antialias=config.antialias)
        self.se = SqueezeExcite(planes, reduced) if use_se else nn.Identity()
        self.conv3 = unit(planes, planes * self.expansion, 1, activation="identity")
        self.memory = config.memory
        self.downsample = make_shortcut(in_channels, planes * self.expansion, stride, config)
        self.act = make_activation(config.block_activation, config.block_slope)

    @property
    def last_norm(self) -> nn.Module:
        """The norm before the residual sum."""
        return self.conv3.bn

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = self.downsample(x)
        x = self.conv1(x)  # 1×1, down to planes
        x = self.conv2(x)  # 3×3, all of the stride
        if self.conv3.may_open():  # training: what the lines below compute, keeping less of it
            conv, bn = self.conv3.conv, self.conv3.bn
            return pointwise_tail(x, shortcut, self.se, conv, bn, self.act, self.memory)
        x = self.conv3(self.se(x))  # SE, 1×1 up to 4·planes, norm
        return self.act(x + shortcut)


BLOCKS: dict[str, type[BasicBlock | Bottleneck]] = {"basic": BasicBlock, "bottleneck": Bottleneck}


class ClassifierHead(nn.Module):
    """Global average pool, dropout, linear.

    Shapes: (B, C, H, W) → (B, num_classes), or (B, C) with ``num_classes=0``.
    """

    def __init__(
        self, num_features: int, num_classes: int, global_pool: str = "avg", drop_rate: float = 0.0
    ) -> None:
        super().__init__()
        check_value("num_classes", int, num_classes)
        if num_classes < 0:
            raise ValueError(f"num_classes must be 0 (features) or more, got {num_classes}")
        if global_pool not in ("avg", ""):
            raise ValueError(
                f'global_pool must be "avg", or "" for the unpooled map, got {global_pool!r}'
            )
        if not global_pool and num_classes:
            raise ValueError(
                "the classifier needs pooled features: global_pool='' goes with num_classes=0"
            )
        self.global_pool = FastGlobalAvgPool2d() if global_pool else nn.Identity()
        self.drop = nn.Dropout(drop_rate)
        self.fc = nn.Linear(num_features, num_classes) if num_classes else nn.Identity()

    def forward(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        x = self.drop(self.global_pool(x))
        return x if pre_logits else self.fc(x)


class TResNet(nn.Module):
    """The network of table 2: stem, four stages, classifier.

    Shapes: (B, in_chans, H, W) → (B, num_classes). The parameters carry the names of timm's
    ``tresnet_*``, so that state dicts are exchangeable, and the methods those of timm's models.
    Image sides must be multiples of 4, at least 20; multiples of 32 keep every stage's grid
    aligned.

    Args:
        config: which network of the family.
        num_classes: outputs of the classifier; 0 gives the pooled features.
        in_chans: channels of the images.
        global_pool: "avg", or "" for the unpooled feature map (then ``num_classes`` must be 0).
        drop_rate: dropout before the classifier; the paper uses none.
    """

    def __init__(
        self,
        config: TResNetConfig,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        check_value("in_chans", int, in_chans)
        if in_chans < 1:
            raise ValueError(f"in_chans must be positive, got {in_chans}")
        self.config, self.drop_rate = config, drop_rate
        self.num_classes, self.in_chans = num_classes, in_chans
        modules = _stem(config, in_chans)
        channels = config.width
        self.feature_info = []
        for stage in STAGES:
            modules[f"layer{stage}"], channels = _stage(config, stage, channels)
            self.feature_info.append(
                {"num_chs": channels, "reduction": 2 ** (stage + 1), "module": f"body.layer{stage}"}
            )
        self.body = nn.Sequential(modules)
        self.num_features = self.head_hidden_size = channels
        self.head = ClassifierHead(channels, num_classes, global_pool, drop_rate)
        initialise(self)

    def check_images(self, x: torch.Tensor) -> None:
        """Refuse what the network cannot read, saying what it can.

        Raises:
            ValueError: wrong rank, channels or size.
            TypeError: integer images.
        """
        if x.ndim != 4 or x.shape[1] != self.in_chans:
            raise ValueError(
                f"expected images of shape (batch, {self.in_chans}, height, width), got"
                f" {tuple(x.shape)}" + ("; add the batch axis with x[None]" if x.ndim == 3 else "")
            )
        if not x.is_floating_point():
            raise TypeError(
                f"expected float images with values in [0, 1], got {x.dtype}; try x.float() / 255"
            )
        step, smallest = self.config.size_step, self.config.min_size
        for name, size in (("height", x.shape[2]), ("width", x.shape[3])):
            if size % step or size < smallest:
                below, above = size // step * step, -(-size // step) * step
                good = sorted({max(below, smallest), max(above, smallest)})
                raise ValueError(
                    f"{name} {size} does not fit: it must be a multiple of {step} and at least"
                    f" {smallest}; nearest: {' or '.join(map(str, good))} (multiples of 32 keep"
                    " every stage aligned)"
                )

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_chans, H, W) → (B, num_features, ⌈H/32⌉, ⌈W/32⌉)."""
        self.check_images(x)
        return self.body(x)

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """(B, num_features, h, w) → (B, num_classes), or with ``pre_logits`` (B, num_features)."""
        return self.head(x, pre_logits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        return self.head.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the head by a fresh one of the same device and dtype; 0 classes: features."""
        if global_pool is None:
            global_pool = "" if isinstance(self.head.global_pool, nn.Identity) else "avg"
        weight = next(self.parameters())
        head = ClassifierHead(self.num_features, num_classes, global_pool, self.drop_rate)
        _initialise_classifier(head)
        self.head = head.to(weight.device, weight.dtype).train(self.training)
        self.num_classes = num_classes

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """How timm's optimisers group parameters into layers, for layer-wise learning rates."""
        return {
            "stem": r"^body\.conv1",
            "blocks": r"^body\.layer(\d+)" if coarse else r"^body\.layer(\d+)\.(\d+)",
        }


def _stem(config: TResNetConfig, in_chans: int) -> "OrderedDict[str, nn.Module]":
    """From pixels to width channels at a quarter of the resolution (§2.1, figure 1)."""
    unit = conv_unit(config, config.stem_slope)
    if config.stem == "space_to_depth":
        conv = unit(in_chans * 4 * 4, config.width, config.stem_kernel)
        return OrderedDict(s2d=SpaceToDepth(4), conv1=conv)
    conv = unit(in_chans, config.width, 7, stride=2, antialias=config.antialias)
    return OrderedDict(conv1=conv, maxpool=nn.MaxPool2d(3, stride=2, padding=1))


def _stage(config: TResNetConfig, stage: int, in_channels: int) -> tuple[nn.Sequential, int]:
    """The blocks of one stage, the first of which has the stride, and the channels they give."""
    block, planes = BLOCKS[config.blocks[stage - 1]], config.width * 2 ** (stage - 1)
    use_se, stride = config.se[stage - 1], 1 if stage == 1 else 2
    blocks: list[nn.Module] = []
    for _ in range(config.depths[stage - 1]):
        blocks.append(block(in_channels, planes, stride, use_se, config))
        in_channels, stride = planes * block.expansion, 1
    stage_type = CheckpointedStage if config.memory == "min" else nn.Sequential
    return stage_type(*blocks), in_channels


def initialise(model: TResNet) -> None:
    """As published: kaiming fan-out, classifier N(0, 0.01), each block starts as its shortcut."""
    if next(model.parameters()).is_meta:
        return  # there are no numbers to draw, and torch takes its time to find that out
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, BasicBlock | Bottleneck):
            nn.init.zeros_(module.last_norm.get_parameter("weight"))
    _initialise_classifier(model.head)


def _initialise_classifier(head: ClassifierHead) -> None:
    if isinstance(head.fc, nn.Linear):
        nn.init.normal_(head.fc.weight, std=0.01)


VARIANTS: dict[str, TResNetConfig] = {
    "tresnet_m": TResNetConfig(),
    "tresnet_l": TResNetConfig(depths=(4, 5, 18, 3), width=76),
    "tresnet_xl": TResNetConfig(depths=(4, 5, 24, 3), width=83),  # int(64·1.3); table 2 prints 84
    "tresnet_v2_l": TResNetConfig(depths=(3, 4, 23, 3), blocks=("bottleneck",) * 4),
    "resnet50": TResNetConfig(
        depths=(3, 4, 6, 3),
        blocks=("bottleneck",) * 4,
        stem="conv7x7",
        se=(False,) * 4,
        antialias=False,
        shortcut="strided",
        norm="bn",
        activation="relu",
    ),
}


def paper_reading(name: str) -> TResNetConfig:
    """The variant as the paper's text and table 2 describe it, where the published code differs.

    There are no published weights for it: these follow the code.
    """
    config = replace(
        variant(name), stem_kernel=1, se_reduction="paper", block_activation="leaky_relu"
    )
    return replace(config, width=84) if name == "tresnet_xl" else config


def list_models() -> list[str]:
    """The names that :func:`create_model` knows."""
    return list(VARIANTS)


def variant(name: str) -> TResNetConfig:
    """The configuration behind a name.

    Raises:
        ValueError: an unknown name, with the closest known ones.
    """
    if name not in VARIANTS:
        raise ValueError(f"unknown model {name!r}; {_closest(name, VARIANTS)}")
    return VARIANTS[name]


def create_model(
    name: str,
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    norm: Literal["iabn", "bn"] | None = None,
    **config_overrides: Any,
) -> TResNet:
    """Build a named network with fresh weights.

    Args:
        name: one of :func:`list_models`.
        num_classes: outputs of the classifier; 0 gives the pooled features.
        in_chans: channels of the images.
        norm: "iabn" or "bn"; None keeps the variant's own (Inplace-ABN, and BatchNorm for
            ``resnet50``).
        config_overrides: any field of :class:`TResNetConfig`, for instance ``stem_kernel=1``.

    Raises:
        ValueError: an unknown name or a value that a field does not take.
        TypeError: an override that is not a field of the configuration.
    """
    options = [field.name for field in fields(TResNetConfig)]
    for key in config_overrides:
        if key not in options:
            raise TypeError(f"unknown option {key!r}; {_closest(key, options)}")
    if norm is not None:
        config_overrides["norm"] = norm
    return TResNet(replace(variant(name), **config_overrides), num_classes, in_chans)


def _closest(word: str, words: Iterable[str]) -> str:
    matches = get_close_matches(word, words, n=3, cutoff=0.4)
    return f"did you mean {' or '.join(matches)}?" if matches else f"known: {', '.join(words)}"
