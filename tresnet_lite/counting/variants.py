"""The networks and parts that chapters compare, by the names of their records.

Each function builds what one comparison times (`bench.comparisons`): TResNet-M or a rung of Table
4, varied in one thing. `width` is the channels of the first stage; 64 is the paper's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice, product

import torch
from torch import Tensor, nn

from tresnet_lite.ablation import ablation_ladder
from tresnet_lite.counting.kept import TARGETS
from tresnet_lite.layers import BlurPool2d, DepthToSpace, SqueezeExcite
from tresnet_lite.layers.residual_tail import residual_tail
from tresnet_lite.model import (
    BLOCKS,
    STAGES,
    Bottleneck,
    ConvNormAct,
    TResNet,
    TResNetConfig,
    create_model,
    variant,
)

# --- stems (§2.1)


def stems() -> dict[str, nn.Sequential]:
    """The stems alone: (B, 3, H, W) → (B, 64, H/4, W/4).

    The last is SpaceToDepth with the paper's 1×1 convolution.
    """
    _, second = _rungs()
    as_printed = TResNet(replace(second, stem_kernel=1))
    whole = {**stem_networks(), "space_to_depth_1x1": as_printed}
    return {name: stem_of(network) for name, network in whole.items()}


def stem_networks() -> dict[str, TResNet]:
    """ResNet50 with each of three stems: (B, 3, H, W) → (B, 1000)."""
    first, second = _rungs()
    deep = TResNet(first)
    deep.body.conv1 = nn.Sequential(_unit(3, 32, stride=2), _unit(32, 32), _unit(32, 64))
    return {"conv7x7": TResNet(first), "resnet_d": deep, "space_to_depth": TResNet(second)}


def resnet50_d() -> TResNet:
    """The whole ResNet50-D: the stem of three convolutions, and averages in the shortcuts."""
    first, _ = _rungs()
    network = TResNet(replace(first, shortcut="avgpool"))
    network.body.conv1 = stem_networks()["resnet_d"].body.conv1
    return network


def _rungs() -> list[TResNetConfig]:
    """Table 4's first two: ResNet50, and ResNet50 with SpaceToDepth."""
    return list(islice(ablation_ladder().values(), 2))


def _unit(in_channels: int, out_channels: int, stride: int = 1) -> ConvNormAct:
    plain = {"norm": "bn", "activation": "relu", "slope": 0.0}
    return ConvNormAct(in_channels, out_channels, 3, stride=stride, **plain)


def stem_of(network: TResNet) -> nn.Sequential:
    """What comes before a network's first stage."""
    parts = network.body.named_children()
    return nn.Sequential(*(part for name, part in parts if not name.startswith("layer")))


def single_convolution(conv: nn.Conv2d, block_size: int = 4) -> nn.Conv2d:
    """The one convolution that equals SpaceToDepth followed by `conv`.

    Kernel, stride and padding grow b-fold. The same permutation that takes pixels to channels takes
    the weights (O, C·b², k, k) back to (O, C, k·b, k·b).
    """
    kernel = DepthToSpace(block_size)(conv.weight.detach())
    out_channels, in_channels, size, _ = kernel.shape
    options = {"stride": block_size, "padding": block_size * conv.padding[0], "bias": False}
    single = nn.Conv2d(in_channels, out_channels, size, dtype=kernel.dtype, **options)
    single.weight = nn.Parameter(kernel)
    return single


# --- downsampling (§2.1)

SCHEMES: dict[str, dict] = {  # name → what differs from TResNet-M
    "strided": {"antialias": False, "shortcut": "strided"},  # table 4's rung before AA
    "avgpool": {"antialias": False},
    "economic": {},  # TResNet-M as published
    "zhang": {},  # and then `blur_shortcuts`: Zhang's ResNets leave the first downsampling alone
    "full": {},  # and then `blur_everything`
}


def scheme_network(scheme: str, num_classes: int = 1000, **overrides: object) -> TResNet:
    """TResNet-M that downsamples by one of `SCHEMES`; `overrides` are fields of its config."""
    config = replace(variant("tresnet_m"), **SCHEMES[scheme], **overrides)
    net = TResNet(config, num_classes)
    changes = {"zhang": blur_shortcuts, "full": blur_everything}
    return changes[scheme](net) if scheme in changes else net


def scheme_networks(width: int = 64) -> dict[str, TResNet]:
    """All of them, by scheme."""
    return {scheme: scheme_network(scheme, width=width) for scheme in SCHEMES}


def blur_everything(network: TResNet) -> TResNet:
    """Zhang's rule at every place of a TResNet, the stem included: evaluate densely, then blur.

    The network is changed in place.

    The stem is one 12×12 convolution of stride 4 (the chapter on the stem proves it): it becomes
    one of stride 1, and two blurs of stride 2 bring it down. The shortcuts' averages become blurs.
    The parameters stay the same numbers.
    """
    stem = network.body.conv1
    stem.conv = single_convolution(stem.conv)
    stem.conv.stride = (1, 1)
    stem.aa = nn.Sequential(BlurPool2d(2), BlurPool2d(2))
    network.body.s2d = nn.Identity()
    return blur_shortcuts(network)


def blur_shortcuts(network: TResNet) -> TResNet:
    """The averages in a TResNet's shortcuts become blurs, in place.

    This is what Zhang's ResNets do by default (`pool_only=True`): all downsampling is blurred, but
    for the first, which is the costliest.
    """
    for stage in (network.body.layer2, network.body.layer3, network.body.layer4):
        stage[0].downsample[0] = BlurPool2d(2)
    return network


# --- norms (§2.1)


def memory_networks(width: int = 64) -> dict[str, TResNet]:
    """TResNet-M on BatchNorm, then with Inplace-ABN under each setting of `memory`."""
    networks = {"batchnorm": create_model("tresnet_m", norm="bn", memory="paper", width=width)}
    for memory in TARGETS:
        networks[memory] = create_model("tresnet_m", memory=memory, width=width)
    return networks


def activation_networks(width: int = 64) -> dict[str, TResNet]:
    """Table 4's step to Inplace-ABN, taken apart: ReLU, then leaky ReLU, then Inplace-ABN."""
    rungs = ablation_ladder()
    before, after = rungs["+ Block-type selection"], rungs["+ Inplace-ABN"]
    leaky = replace(before, activation="leaky_relu")
    configs = {"relu": before, "leaky_relu": leaky, "iabn": after}
    return {name: TResNet(replace(config, width=width)) for name, config in configs.items()}


class InSteps(nn.Module):
    """A network that takes its batch in `steps` parts, one after the other."""

    def __init__(self, network: nn.Module, steps: int) -> None:
        super().__init__()
        self.network, self.steps = network, steps

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([self.network(part) for part in images.chunk(self.steps)])


def batch_networks(width: int = 64) -> dict[str, nn.Module]:
    """TResNet-M, and the same network that takes the same images as four smaller batches.

    In training, the four share one backward pass and one step of the optimiser: no more than the
    size of the batch differs.
    """
    network = create_model("tresnet_m", width=width)
    return {"whole": network, "quarters": InSteps(network, 4)}


def activation_layers(channels: int = 64) -> dict[str, nn.Module]:
    """A batch norm and an activation, in place, on maps (B, channels, H, W)."""
    activations = (nn.ReLU, nn.LeakyReLU, nn.SiLU, nn.Mish)
    return {
        activation.__name__: nn.Sequential(nn.BatchNorm2d(channels), activation(inplace=True))
        for activation in activations
    }


# --- block types (§2.1)

FORMER_RUNG, RUNG = "+ Stem → SpaceToDepth", "+ Block-type selection"  # of table 4
BEFORE = "bottlenecks-3-4-6-3"  # the rung before, as records name it
ALL_BASIC = "basic-basic-basic-basic"
PAPERS_CHOICE = "basic-basic-bottleneck-bottleneck"
REVERSED = "bottleneck-bottleneck-basic-basic"
ALL_BOTTLENECK = "bottleneck-bottleneck-bottleneck-bottleneck"
CORNERS = (ALL_BASIC, PAPERS_CHOICE, REVERSED, ALL_BOTTLENECK)
MIXES = tuple("-".join(types) for types in product(BLOCKS, repeat=len(STAGES)))


def rung(label: str = RUNG) -> TResNetConfig:
    """A rung of table 4."""
    return ablation_ladder()[label]


def mix_network(name: str, width: int = 64) -> TResNet:
    """A mix of block types at the paper's depths, or the network of the rung before."""
    config = rung(FORMER_RUNG) if name == BEFORE else replace(rung(), blocks=tuple(name.split("-")))
    return TResNet(replace(config, width=width))


def mix_networks(names: Iterable[str], width: int = 64) -> dict[str, TResNet]:
    """The named networks, to be timed: parts of one shape are one module in all of them.

    Sixteen separate ones would fill 2 GB. Time them one phase after the other, as a shared part is
    in training mode, or in evaluation mode, for all. Weights are torch's default ones.
    """
    shared: dict[tuple, nn.Module] = {}
    built = {}
    for name in names:
        with torch.device("meta"):
            net = built[name] = mix_network(name, width)
        stages = [(net.body, f"layer{stage}") for stage in STAGES]
        for parent, part in [(net.body, "conv1"), *stages, (net, "head")]:
            module = parent.get_submodule(part)
            shape = (part, *((key, tensor.shape) for key, tensor in module.state_dict().items()))
            if shape not in shared:
                shared[shape] = _materialise(module)
            setattr(parent, part, shared[shape])
    return built


def _materialise(module: nn.Module) -> nn.Module:
    module.to_empty(device="cpu")
    for layer in module.modules():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    return module


# --- squeeze-and-excitation (§2.1)

WITHOUT, WITH = "+ Inplace-ABN", "+ Optimizer SE layers"  # the rungs of table 4 before and after SE
SE_STAGES = {"none": (False,) * 4, "three": (True, True, True, False), "four": (True,) * 4}


def se_networks(width: int = 64) -> dict[str, TResNet]:
    """Table 4's last rung but one, with SE in no stage, in the first three, and in all four."""
    rung = replace(ablation_ladder()[WITH], width=width)
    return {name: TResNet(replace(rung, se=stages)) for name, stages in SE_STAGES.items()}


class EndBottleneck(Bottleneck):
    """A bottleneck with SE where Hu et al. have it: before the sum, 4·planes channels, r = 16."""

    def __init__(self, in_channels: int, planes: int, stride: int, config: TResNetConfig) -> None:
        super().__init__(in_channels, planes, stride, False, config)
        channels = planes * self.expansion
        self.se = SqueezeExcite(channels, channels // 16)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv3.conv(self.conv2(self.conv1(x)))
        return residual_tail(out, self.downsample(x), self.conv3.bn, self.se, self.act)


def se_blocks(**options: object) -> dict[str, nn.Module]:
    """TResNet-M's third-stage block with SE nowhere, after its 3×3 and before its sum.

    They take (B, 1024, H, W) and give the same. `options` are fields of the configuration.
    """
    config, planes = replace(variant("tresnet_m"), **options), 256
    shape = {"in_channels": 4 * planes, "planes": planes, "stride": 1, "config": config}
    none, inside = (Bottleneck(use_se=use, **shape) for use in (False, True))
    return {"none": none, "inside": inside, "end": EndBottleneck(**shape)}
