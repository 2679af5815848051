"""Drawings of networks, part by part and layer by layer."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from tresnet_lite.counting import count_macs, count_parameters
from tresnet_lite.counting.shapes import shape_of
from tresnet_lite.counting.trace import trace
from tresnet_lite.counting.variants import stem_of
from tresnet_lite.layers import BlurPool2d, SpaceToDepth
from tresnet_lite.model import STAGES, BasicBlock, Bottleneck, TResNet
from tresnet_lite.show.boxes import ACROSS, arrow, box, canvas, write
from tresnet_lite.show.plots import drawing
from tresnet_lite.show.style import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, SMALL, VERMILLION

# the layers that a drawing names
SHAPERS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, SpaceToDepth, BlurPool2d)


@drawing
def chains(
    models: Mapping[str, nn.Sequential], input_size: tuple[int, int, int]
) -> tuple[Figure, str]:
    """Chains of layers side by side, each layer with the shape that it gives for `input_size`.

    Norms and activations are left out. The models run once, on one image (C, H, W).
    """
    columns = {
        name: [shape_of(input_size), *map("\n".join, layers(model, input_size))]
        for name, model in models.items()
    }
    longest = max(map(len, columns.values()))
    step, high, pitch = 56.0, 36.0, ACROSS / len(columns)
    figure, axes = canvas(step * (longest - 1) + high + 28)
    for i, (name, labels) in enumerate(columns.items()):
        middle = (i + 0.5) * pitch
        write(axes, middle, 10, name, weight="bold")
        for row, label in enumerate(labels):
            # The last boxes stand side by side, however many came before.
            top = 24 + step * (longest - 1 if row == len(labels) - 1 else row)
            box(axes, middle - pitch / 2 + 3, top, pitch - 6, high, _layer_colour(label))
            write(axes, middle, top + high / 2, label, fontsize=SMALL, linespacing=1.3)
            if row:
                arrow(axes, middle, 24 + step * (row - 1) + high, top)
    words = [f"{name}: {' → '.join(labels)}" for name, labels in columns.items()]
    intro = f"The layers of {' and '.join(columns)}, with their output shapes."
    return figure, f"{intro} {'; '.join(words)}.".replace("\n", " to ")


def _layer_colour(label: str) -> str:
    kinds = {"conv": BLUE, "pool": ORANGE, "SpaceToDepth": GREEN, "blur": PURPLE}
    return next((colour for word, colour in kinds.items() if label.startswith(word)), "none")


def layers(model: nn.Module, input_size: tuple[int, int, int]) -> list[tuple[str, str]]:
    """The layers that change a shape or mix values, in order: what each is, and what it gives."""
    calls = [call for call in trace(model, input_size) if isinstance(call.module, SHAPERS)]
    return [(layer_name(call.module), shape_of(call.output)) for call in calls]


def layer_name(layer: nn.Module) -> str:
    """A layer of `SHAPERS` for a reader: "conv 7×7 /2"."""
    if isinstance(layer, SpaceToDepth):
        return "SpaceToDepth"
    if isinstance(layer, BlurPool2d):
        return f"blur 3×3 /{layer.stride}"
    kind = "conv" if isinstance(layer, nn.Conv2d) else "pool"
    size, stride = (v if isinstance(v, int) else v[0] for v in (layer.kernel_size, layer.stride))
    return f"{kind} {size}×{size}" + (f" /{stride}" if stride > 1 else "")


@drawing
def permutation(image: torch.Tensor, channels: torch.Tensor) -> tuple[Figure, str]:
    """Where SpaceToDepth puts each pixel of `image` (H, W): `channels` (b², H/b, W/b) made from it.

    A patch has one colour on both sides; the first channel and its pixels are outlined.
    """
    side, small = image.shape[0], channels.shape[1]
    block = side // small
    cell, pitch = 28.0, 28.0 * small + 11
    below = 24 + cell * side + 42
    figure, axes = canvas(below + block * (pitch + 12) + 2)
    head = {"va": "center", "weight": "bold"}
    axes.text(2, 10, f"one channel, {side}×{side} pixels", **head)
    axes.text(2, below - 12, f"{len(channels)} channels, {small}×{small} pixels each", **head)
    outlined = set(channels[0].flatten().tolist())
    _cells(axes, image, (32, 24), cell, patch=block, outlined=outlined)
    for k, channel in enumerate(channels):
        left, top = 10 + k % block * (pitch + 1), below + 12 + k // block * (pitch + 12)
        axes.text(left, top - 7, f"{k}", va="center", fontsize=SMALL)
        _cells(axes, channel, (left, top), cell, patch=1, outlined=outlined)
    first, second = (channels[k].flatten().int().tolist() for k in (0, 1))
    return figure, (
        f"Patches of {block}×{block} pixels (above) become {len(channels)} channels (below)."
        f" The image has {side}×{side} numbered pixels, each patch a colour. Channel 0 holds the"
        f" upper left pixel of every patch, {first}, channel 1 the pixel to its right, {second},"
        " and so on, row by"
        " row of the patch."
    )


def _cells(
    axes: Axes,
    values: torch.Tensor,
    corner: tuple[float, float],
    side: float,
    *,
    patch: int,
    outlined: Collection[float],
) -> None:
    """A grid of numbers, coloured by the patch (`patch`×`patch` of them) that each belongs to."""
    for r, row in enumerate(values.tolist()):
        for c, value in enumerate(row):
            x, y = corner[0] + c * side, corner[1] + r * side
            colour = (SKY, ORANGE, GREEN, PURPLE)[(2 * (r // patch) + c // patch) % 4]
            look = {"facecolor": to_rgba(colour, 0.3), "edgecolor": INK, "linewidth": 0.4}
            axes.add_patch(Rectangle((x, y), side, side, **look))
            if value in outlined:
                outline = {"fill": False, "edgecolor": VERMILLION, "linewidth": 2}
                axes.add_patch(Rectangle((x + 1, y + 1), side - 2, side - 2, **outline))
            write(axes, x + side / 2, y + side / 2, f"{value:g}", fontsize=SMALL)


@drawing
def network_map(
    model: TResNet, highlight: Collection[str], image_size: int = 224
) -> tuple[Figure, str]:
    """The network from image to classes, the parts named in `highlight` marked.

    Parts are "stem", "stage 1" to "stage 4", and "head".

    Raises:
        ValueError: no such part.
    """
    parts = network_parts(model, image_size)
    names = [name for name, _, _ in parts]
    if unknown := sorted(set(highlight) - set(names)):
        raise ValueError(f"no part {', '.join(unknown)}: there are {', '.join(names)}")
    step, high = 56.0, 42.0
    figure, axes = canvas(step * len(parts) + 22)
    write(axes, ACROSS / 2, 8, f"image {model.in_chans}×{image_size}×{image_size}")
    words = []
    for row, (name, content, sizes) in enumerate(parts):
        top, marked = 30 + step * row, name in highlight
        arrow(axes, ACROSS / 2, top - 14, top)
        colour = VERMILLION if marked else "none"
        box(axes, 4, top, ACROSS - 8, high, colour, strong=marked)
        axes.text(12, top + 14, name, va="center", weight="bold")
        axes.text(ACROSS - 12, top + 14, content, ha="right", va="center")
        axes.text(12, top + 31, sizes, va="center", fontsize=SMALL)
        words.append(f"{name}{' (marked)' if marked else ''}: {content}, {sizes}")
    intro = "The network, part by part: shapes, parameters and multiply-accumulates."
    return figure, f"{intro} {'; '.join(words)}."


def network_parts(model: TResNet, image_size: int) -> list[tuple[str, str, str]]:
    """Name, content and sizes (output shape, parameters, MACs) of each part, in order."""
    parts: dict[str, nn.Module] = {"stem": stem_of(model)}
    for stage in STAGES:
        parts[f"stage {stage}"] = model.body.get_submodule(f"layer{stage}")
    parts["head"] = model.head
    shape: tuple[int, ...] = (model.in_chans, image_size, image_size)
    rows = []
    for name, part in parts.items():
        parameters, macs = count_parameters(part) / 1e6, count_macs(part, shape) / 1e9
        shape = trace(part, shape)[-1].output
        sizes = f"{shape_of(shape)} · {parameters:.2f} M · {macs:.2f} G MACs"
        rows.append((name, _content(part), sizes))
    return rows


def _content(part: nn.Module) -> str:
    """ "11 × Bottleneck + SE" for a stage, the layers for the stem, the steps of the head."""
    if not isinstance(part, nn.Sequential):
        return "average pool, linear"
    blocks = [block for block in part if isinstance(block, (BasicBlock, Bottleneck))]
    if blocks:
        se = "" if isinstance(blocks[0].se, nn.Identity) else " + SE"
        return f"{len(blocks)} × {type(blocks[0]).__name__}{se}"
    return ", ".join(layer_name(layer) for layer in part.modules() if isinstance(layer, SHAPERS))
