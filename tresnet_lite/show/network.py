"""Drawings of networks, part by part and layer by layer."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from tresnet_lite.counting import count_macs, count_parameters
from tresnet_lite.counting.shapes import shape_of
from tresnet_lite.layers import BlurPool2d, SpaceToDepth
from tresnet_lite.model import BasicBlock, Bottleneck, TResNet
from tresnet_lite.show.boxes import arrow, box, canvas
from tresnet_lite.show.plots import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    POINT,
    PURPLE,
    SKY,
    SMALL,
    VERMILLION,
    WIDTH,
    drawing,
)

# the layers that a drawing names
SHAPERS = (
    nn.Conv2d,
    nn.MaxPool2d,
    nn.AvgPool2d,
    SpaceToDepth,
    BlurPool2d,
)


@drawing
def chains(
    models: Mapping[str, nn.Sequential], input_size: tuple[int, int, int]
) -> tuple[Figure, str]:
    """Chains of layers side by side, each layer with the shape that it gives; norms and activations
    are left out.

    What is drawn is found by running the models on one image of `input_size` (C, H, W).
    """
    columns = {
        name: [shape_of(input_size), *map("\n".join, layers(model, input_size))]
        for name, model in models.items()
    }
    longest = max(map(len, columns.values()))
    step, high = 56.0, 36.0
    figure, axes = canvas(24 + step * longest - (step - high) + 4)
    pitch = WIDTH / POINT / len(columns)
    for i, (name, labels) in enumerate(columns.items()):
        middle = (i + 0.5) * pitch
        axes.text(middle, 10, name, ha="center", va="center", weight="bold")
        for row, label in enumerate(labels):
            # The last boxes stand side by side, however many came before.
            place = longest - 1 if row == len(labels) - 1 else row
            top = 24 + step * place
            box(axes, middle - pitch / 2 + 3, top, pitch - 6, high, _layer_colour(label))
            axes.text(
                middle,
                top + high / 2,
                label,
                ha="center",
                va="center",
                fontsize=SMALL,
                linespacing=1.3,
            )
            if row:
                arrow(axes, middle, 24 + step * (row - 1) + high, top)
    told = [
        f"{name}: {' → '.join(labels)}".replace("\n", " to ") for name, labels in columns.items()
    ]
    return figure, f"Layers with their output shapes. {'; '.join(told)}."


def _layer_colour(label: str) -> str:
    kinds = {"conv": BLUE, "pool": ORANGE, "SpaceToDepth": GREEN, "blur": PURPLE}
    return next((colour for word, colour in kinds.items() if label.startswith(word)), "none")


def layers(model: nn.Module, input_size: tuple[int, int, int]) -> list[tuple[str, str]]:
    """The layers that change a shape or mix values, in the order in which they run: what each is,
    and what it gives.
    """
    found: list[tuple[str, str]] = []

    def note(layer: nn.Module, _: tuple, output: torch.Tensor) -> None:
        found.append((_layer_name(layer), shape_of(output.shape[1:])))

    hooks = [m.register_forward_hook(note) for m in model.modules() if isinstance(m, SHAPERS)]
    try:
        count_macs(model, input_size)  # runs the model once, as in evaluation
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _layer_name(layer: nn.Module) -> str:
    if isinstance(layer, SpaceToDepth):
        return "SpaceToDepth"
    if isinstance(layer, BlurPool2d):
        return f"blur 3×3 /{layer.stride}"
    kind = "conv" if isinstance(layer, nn.Conv2d) else "pool"
    size, stride = (v if isinstance(v, int) else v[0] for v in (layer.kernel_size, layer.stride))
    return f"{kind} {size}×{size}" + (f" /{stride}" if stride > 1 else "")


@drawing
def permutation(image: torch.Tensor, channels: torch.Tensor) -> tuple[Figure, str]:
    """Where SpaceToDepth puts each pixel: `image` (H, W) of numbers and `channels` (b², H/b, W/b)
    made from it.

    A patch has one colour on both sides; the first channel and its pixels are outlined.
    """
    side, small = image.shape[0], channels.shape[1]
    block = side // small
    cell, pitch = 28.0, 28.0 * small + 11
    below = 24 + cell * side + 42
    figure, axes = canvas(below + block * (pitch + 12) + 2)
    axes.text(2, 10, f"one channel, {side}×{side} pixels", va="center", weight="bold")
    patches = [[(r // block, c // block) for c in range(side)] for r in range(side)]
    _cells(axes, image, patches, (32, 24), cell, outlined=set(channels[0].flatten().tolist()))
    axes.text(
        2,
        below - 12,
        f"{len(channels)} channels, {small}×{small} pixels each",
        va="center",
        weight="bold",
    )
    patches = [[(r, c) for c in range(small)] for r in range(small)]
    for k, channel in enumerate(channels):
        left, top = 10 + k % block * (pitch + 1), below + 12 + k // block * (pitch + 12)
        axes.text(left, top - 7, f"{k}", va="center", fontsize=SMALL)
        _cells(
            axes, channel, patches, (left, top), cell, outlined=set(channels[0].flatten().tolist())
        )
    first, second = (channels[k].flatten().int().tolist() for k in (0, 1))
    return (
        figure,
        (
            f"Above, an image of {side}×{side} numbered pixels in patches of {block}×{block}, a"
            f" colour each. Below, the {len(channels)} channels: channel 0 holds the upper left"
            f" pixel of every patch, {first}, channel 1 the pixel to its right, {second}, and so"
            " on, row by row of the patch."
        ),
    )


def _cells(
    axes: Axes,
    values: torch.Tensor,
    patches: list[list[tuple[int, int]]],
    corner: tuple[float, float],
    side: float,
    outlined: Collection[float],
) -> None:
    """A grid of numbers, coloured by the patch that each belongs to."""
    for r, row in enumerate(values.tolist()):
        for c, value in enumerate(row):
            x, y = corner[0] + c * side, corner[1] + r * side
            patch_row, patch_column = patches[r][c]
            fill = matplotlib.colors.to_rgba(
                (SKY, ORANGE, GREEN, PURPLE)[(2 * patch_row + patch_column) % 4], 0.3
            )
            axes.add_patch(
                Rectangle((x, y), side, side, facecolor=fill, edgecolor=INK, linewidth=0.4)
            )
            if value in outlined:
                inner = Rectangle(
                    (x + 1, y + 1),
                    side - 2,
                    side - 2,
                    fill=False,
                    edgecolor=VERMILLION,
                    linewidth=2,
                )
                axes.add_patch(inner)
            axes.text(
                x + side / 2, y + side / 2, f"{value:g}", ha="center", va="center", fontsize=SMALL
            )


@drawing
def network_map(
    model: TResNet, highlight: Collection[str], image_size: int = 224
) -> tuple[Figure, str]:
    """The network from image to classes, the parts named in `highlight` marked: "stem", "stage 1"
    to "stage 4", "head".

    Raises:
        ValueError: no such part.
    """
    parts = network_parts(model, image_size)
    if unknown := set(highlight) - {name for name, _, _ in parts}:
        raise ValueError(
            f"no part {', '.join(sorted(unknown))}: there are"
            f" {', '.join(name for name, _, _ in parts)}"
        )
    step, high = 56.0, 42.0
    figure, axes = canvas(step * len(parts) + 22)
    axes.text(
        WIDTH / POINT / 2,
        8,
        f"image {model.in_chans}×{image_size}×{image_size}",
        ha="center",
        va="center",
    )
    for row, (name, what, sizes) in enumerate(parts):
        top = 30 + step * row
        arrow(axes, WIDTH / POINT / 2, top - 14, top)
        box(
            axes,
            4,
            top,
            WIDTH / POINT - 8,
            high,
            VERMILLION if name in highlight else "none",
            strong=name in highlight,
        )
        axes.text(12, top + 14, name, va="center", weight="bold")
        axes.text(WIDTH / POINT - 12, top + 14, what, ha="right", va="center")
        axes.text(12, top + 31, sizes, va="center", fontsize=SMALL)
    told = [
        f"{name}{' (marked)' if name in highlight else ''}: {what}, {sizes}"
        for name, what, sizes in parts
    ]
    return figure, f"The network, part by part. {'; '.join(told)}."


def network_parts(model: TResNet, image_size: int) -> list[tuple[str, str, str]]:
    """Name, content and sizes (output shape, parameters, MACs) of each part, read off the model
    itself.
    """
    children = dict(model.body.named_children())
    stem = [part for name, part in children.items() if not name.startswith("layer")]
    parts: dict[str, nn.Module] = {"stem": nn.Sequential(*stem)}
    parts |= {
        name.replace("layer", "stage "): part
        for name, part in children.items()
        if name.startswith("layer")
    }
    parts["head"] = model.head
    shape, rows = (model.in_chans, image_size, image_size), []
    for name, part in parts.items():
        macs, given = count_macs(part, shape), _output_shape(part, shape)
        sizes = (
            f"{shape_of(given)} · {count_parameters(part) / 1e6:.2f} M · {macs / 1e9:.2f} G MACs"
        )
        rows.append((name, _content(part), sizes))
        shape = given
    return rows


def _output_shape(part: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    shapes: list[torch.Size] = []
    hook = part.register_forward_hook(lambda *call: shapes.append(call[2].shape))
    try:
        count_macs(part, shape)
    finally:
        hook.remove()
    return tuple(shapes[0][1:])


def _content(part: nn.Module) -> str:
    """ "11 × Bottleneck + SE" for a stage, the layers for the stem, the steps of the head."""
    if not isinstance(part, nn.Sequential):
        return "average pool, linear"
    blocks = [block for block in part if isinstance(block, (BasicBlock, Bottleneck))]
    if blocks:
        se = "" if isinstance(blocks[0].se, nn.Identity) else " + SE"
        return f"{len(blocks)} × {type(blocks[0]).__name__}{se}"
    return ", ".join(_layer_name(layer) for layer in part.modules() if isinstance(layer, SHAPERS))
