"""Figures that read well on white, on black and on a phone.

Every function returns one inline SVG with a text that describes it. Its lines and letters take the
page's own text colour, so the page decides between light and dark; fills are translucent, of a
palette that colour-blind readers can tell apart (Okabe and Ito). Figures are narrow and tall: in a
column of 360 pixels the letters are still 9 points.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from torch import nn

from tresnet_lite.bench import count_macs, count_parameters
from tresnet_lite.layers import BlurPool2d, SpaceToDepth
from tresnet_lite.model import BasicBlock, Bottleneck
from tresnet_lite.notebook import Html

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from tresnet_lite import TResNet

BLUE, VERMILLION, GREEN, ORANGE, SKY, PURPLE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#E69F00",
    "#56B4E9",
    "#CC79A7",
)
SHAPERS = (
    nn.Conv2d,
    nn.MaxPool2d,
    nn.AvgPool2d,
    SpaceToDepth,
    BlurPool2d,
)  # the layers that a drawing names
INK = "#010203"  # drawn with in place of black, then replaced by the page's text colour
WIDTH = 4.0  # inches
SMALL = 9.6  # points in the drawing, 9 points in a column of 360 pixels
POINT = 1 / 72  # inches
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "font.size": 10.5,
    "axes.titlesize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "svg.fonttype": "none",  # letters stay letters: small, searchable, in the page's size
    "svg.hashsalt": "tresnet_lite",  # the same figure is the same file
    **dict.fromkeys(
        (
            "text.color",
            "axes.edgecolor",
            "axes.labelcolor",
            "axes.titlecolor",
            "xtick.color",
            "ytick.color",
        ),
        INK,
    ),
}

P = ParamSpec("P")


def drawing(draw: Callable[P, tuple[Figure, str]]) -> Callable[P, Html]:
    """Turn a function that draws into one that returns the drawing, in the style above."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Html:
        with matplotlib.rc_context(STYLE):
            figure, description = draw(*args, **kwargs)
            return inline_svg(figure, description, _code(draw))

    return drawn


def _code(draw: Callable) -> str:
    """Where a function stands in the checkout: "tresnet_lite/plots.py#L123"."""
    return f"{draw.__module__.replace('.', '/')}.py#L{draw.__code__.co_firstlineno}"


def inline_svg(figure: Figure, description: str, code: str) -> Html:
    """The figure as an `<svg>` element that takes the page's text colour and shrinks with the page.

    `code` tells where it was drawn; the book makes a link of it.
    """
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    viewbox = re.search(r'viewBox="[^"]*"', svg)[0]
    drawn = svg[svg.index("<g id=") :]
    drawn = re.sub(
        r' id="[a-z0-9]+_\d+"', "", drawn
    )  # numbered from 1 in each figure: they would clash on a page
    drawn = drawn.replace(INK, "currentColor")
    opening = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        f' {viewbox} role="img" '
        f'aria-label="{html.escape(description)}" data-code="{code}" style="display:block;'
        'width:min(100%,27rem);height:auto;margin:auto;stroke-linejoin:round;stroke-linecap:butt">'
    )
    return Html(opening + drawn, description)


def canvas(height: float) -> tuple[Figure, Axes]:
    """A figure of the standard width with one bare set of axes, in points from the upper left
    corner.
    """
    figure = Figure(figsize=(WIDTH, height * POINT))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH / POINT), ylim=(height, 0))
    axes.axis("off")
    return figure, axes


def box(
    axes: Axes,
    left: float,
    top: float,
    width: float,
    height: float,
    colour: str,
    *,
    strong: bool = False,
) -> None:
    """A rounded box; a strong one has a thick border of its colour."""
    fill = matplotlib.colors.to_rgba(colour, 0.3)
    edge = (
        {"edgecolor": colour, "linewidth": 2.5} if strong else {"edgecolor": INK, "linewidth": 0.8}
    )
    axes.add_patch(
        FancyBboxPatch(
            (left, top),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=5",
            facecolor=fill,
            **edge,
        )
    )


def arrow(axes: Axes, x: float, top: float, bottom: float) -> None:
    axes.annotate(
        "",
        (x, bottom),
        (x, top),
        arrowprops={"arrowstyle": "-|>", "color": INK, "shrinkA": 1, "shrinkB": 1},
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


def shape_of(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


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
def pictures(
    images: Sequence[tuple[str, ArrayLike]], *, columns: int, description: str
) -> tuple[Figure, str]:
    """Images under their names, `columns` in a row: (H, W, 3) in [0, 1], or (H, W) around 0 in two
    colours.
    """
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(WIDTH, rows * (WIDTH / columns + 0.22)), layout="constrained")
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid:
        axes.axis("off")
    for axes, (name, image) in zip(grid, images, strict=False):
        image = torch.as_tensor(image)
        extreme = image.abs().max().item()
        options = {"cmap": "PuOr", "vmin": -extreme, "vmax": extreme} if image.ndim == 2 else {}
        axes.imshow(image.numpy(), interpolation="none", **options)
        axes.set_title(name, pad=2)
    return figure, description


@drawing
def ratios(table: pd.DataFrame, *, base: str) -> tuple[Figure, str]:
    """Measured speeds as ratios to `base`, with their quartiles, beside the paper's where it prints
    one.

    Columns of `table`: name, phase, ratio, ratio_q1, ratio_q3, and paper_ratio (NaN: not printed).
    """
    phases = list(dict.fromkeys(table["phase"]))
    names = list(dict.fromkeys(table["name"]))
    figure = Figure(
        figsize=(WIDTH, len(phases) * (0.7 + 0.3 * len(names)) + 0.5), layout="constrained"
    )
    for axes, phase in zip(
        figure.subplots(len(phases), 1, sharex=True, squeeze=False).flat, phases, strict=True
    ):
        rows = table[table["phase"] == phase]
        places = [names.index(name) for name in rows["name"]]
        axes.axvline(1, color=INK, linewidth=0.8, alpha=0.5)
        axes.hlines(places, rows["ratio_q1"], rows["ratio_q3"], color=BLUE, linewidth=3)
        axes.plot(rows["ratio"], places, "o", color=BLUE, label="measured, with quartiles")
        hollow = {"color": VERMILLION, "fillstyle": "none", "markeredgewidth": 2, "markersize": 8}
        if rows["paper_ratio"].notna().any():
            axes.plot(rows["paper_ratio"], places, "D", label="paper", **hollow)
        axes.set(
            title=phase, yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5)
        )
        axes.tick_params(left=False)
        axes.spines["left"].set_visible(False)
    # Under the figure and not under the axes, which long names make narrower than this line.
    figure.supxlabel(f"speed, {base} = 1 (right is faster)", fontsize=STYLE["font.size"])
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(),
        loc="outside upper center",
        ncols=2,
        handletextpad=0.3,
    )
    told = [
        f"{row.phase}, {row.name}: {f'{row.ratio:.2f}' if row.ratio > 0 else 'not measured'}"
        + (f" (paper {row.paper_ratio:.2f})" if row.paper_ratio > 0 else "")
        for row in table.itertuples(index=False)
    ]
    return figure, f"Speed relative to {base}. {'; '.join(told)}."


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
