"""The figures of the chapter on anti-aliasing: a wave that folds, filters' responses, maps over all
shifts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from tresnet_lite.show.plots import BLUE, GREEN, INK, ORANGE, VERMILLION, WIDTH, drawing

LINES = ((GREEN, ":"), (BLUE, "-"), (VERMILLION, "--"))


@drawing
def aliasing(wave: Tensor, blurred: Tensor, frequency: float) -> tuple[Figure, str]:
    """A wave cos(2πfn) and its blurred version, (N,), above each other; every second sample is
    kept.
    """
    figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    pixels, fine = torch.arange(len(wave)), torch.linspace(0, len(wave) - 1, 40 * len(wave))
    names = ("every second pixel", "blurred, then every second pixel")
    for axes, samples, name in zip(
        figure.subplots(2, 1, sharex=True), (wave, blurred), names, strict=True
    ):
        gain = (samples[0] / wave[0]).item()
        axes.plot(
            fine,
            gain * torch.cos(2 * math.pi * frequency * fine),
            color=INK,
            linewidth=0.6,
            alpha=0.6,
        )
        axes.plot(pixels, samples, ".", color=INK, markersize=4)
        # Two samples apart, a frequency f looks like 1 − 2f cycles: 1/2 − f a pixel.
        alias = gain * torch.cos(2 * math.pi * (0.5 - frequency) * fine)
        axes.plot(fine, alias, "--", color=VERMILLION, linewidth=2)
        axes.plot(pixels[::2], samples[::2], "o", color=BLUE, markersize=7)
        axes.set(title=name, ylim=(-1.25, 1.25), yticks=(-1, 0, 1))
    figure.axes[-1].set_xlabel("pixel")
    left = f"{blurred.abs().max().item():.3f}"
    return (
        figure,
        (
            f"Above, a wave of {1 / frequency:.3g} pixels a period; its every second sample lies on"
            f" a slow wave of {1 / (0.5 - frequency):.3g} pixels a period. Below, the same after"
            f" the blur: an amplitude of {left} is left."
        ),
    )


@drawing
def responses(filters: Mapping[str, Tensor]) -> tuple[Figure, str]:
    """Magnitude of up to three symmetric filters' frequency responses; what folds at stride 2 is
    shaded.
    """
    figure = Figure(figsize=(WIDTH, 3.3), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(0.25, 0.5, color=ORANGE, alpha=0.25, linewidth=0)
    axes.text(0.375, 0.93, "folds", ha="center")
    frequency = torch.linspace(0, 0.5, 101)
    told = []
    for (name, taps), (colour, style) in zip(filters.items(), LINES, strict=False):
        places = torch.arange(len(taps)) - (len(taps) - 1) / 2
        gain = (torch.cos(2 * math.pi * frequency[:, None] * places) * taps).sum(1)
        axes.plot(frequency, gain, style, color=colour, linewidth=2.2, label=name)
        told.append(
            f"{name} lets {gain[50]:.2f} of a wave of frequency 1/4 through and {gain[75]:.2f}"
            " at 3/8"
        )
    axes.set(xlabel="frequency, cycles a pixel", ylabel="gain", xlim=(0, 0.5), ylim=(0, 1.02))
    axes.set_xticks([0, 0.125, 0.25, 0.375, 0.5], ["0", "1/8", "1/4", "3/8", "1/2"])
    figure.legend(loc="outside upper center", ncols=3, handlelength=1.6, columnspacing=1.0)
    return (
        figure,
        f"{'; '.join(told)}. All let a constant through and stop a wave of frequency 1/2.",
    )


@drawing
def shift_maps(maps: Mapping[str, Tensor]) -> tuple[Figure, str]:
    """Changes for each shift, (down, right), of several networks on one scale, by their square
    roots.
    """
    rows = -(-len(maps) // 2)
    figure = Figure(figsize=(WIDTH, rows * 2.1 + 0.75), layout="constrained")
    figure.get_layout_engine().set(hspace=0.06)
    scale = PowerNorm(0.5, vmin=0, vmax=max(m.max().item() for m in maps.values()))
    grid = list(figure.subplots(rows, 2, sharex=True, sharey=True, squeeze=False).flat)
    for axes, (name, changes) in zip(grid, maps.items(), strict=True):
        shown = axes.imshow(changes.numpy(), cmap="cividis", norm=scale, interpolation="none")
        axes.set(xticks=(0, 4, 7), yticks=(0, 4, 7))
        axes.set_title(name, pad=3)
        axes.spines[:].set_visible(False)
    figure.supxlabel("pixels to the right", fontsize=10.5)
    figure.supylabel("pixels down", fontsize=10.5)
    bar = figure.colorbar(
        shown, ax=grid, location="top", aspect=30, label="change (1: another photograph)"
    )
    bar.set_ticks(MaxNLocator(5).tick_values(0, scale.vmax)[:-1])
    bar.outline.set_visible(False)
    told = [
        f"{n}: {m.sum().item() / (m.numel() - 1):.3f} on average, at most {m.max():.3f}"
        for n, m in maps.items()
    ]
    return (
        figure,
        f"Change of the features for shifts by 0 to {len(changes) - 1} pixels. {'; '.join(told)}.",
    )
