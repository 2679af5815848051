"""The figures of the chapter on anti-aliasing: a wave that folds, filters' responses, shifts."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from tresnet_lite.show.plots import chart, charts, drawing, legend_above
from tresnet_lite.show.style import BLUE, GREEN, INK, ORANGE, VERMILLION, WIDTH

LINES = ((GREEN, ":"), (BLUE, "-"), (VERMILLION, "--"))


@drawing
def aliasing(wave: Tensor, blurred: Tensor, frequency: float) -> tuple[Figure, str]:
    """A wave above, its blurred version below; their every second samples lie on a slow wave.

    Args:
        wave, blurred: cos(2πfn) and what a blur makes of it, (N,).
        frequency: f, in cycles per pixel.
    """
    figure, (above, below) = charts(2, 3.9)
    pixels, fine = torch.arange(len(wave)), torch.linspace(0, len(wave) - 1, 40 * len(wave))
    above.set_title("every second pixel")
    below.set_title("blurred, then every second pixel")
    for axes, samples in ((above, wave), (below, blurred)):
        gain = (samples[0] / wave[0]).item()
        true = gain * torch.cos(2 * math.pi * frequency * fine)
        axes.plot(fine, true, color=INK, linewidth=0.6, alpha=0.6)
        axes.plot(pixels, samples, ".", color=INK, markersize=4)
        # Two samples apart, a frequency f looks like 1 − 2f cycles: 1/2 − f per pixel.
        alias = gain * torch.cos(2 * math.pi * (0.5 - frequency) * fine)
        axes.plot(fine, alias, "--", color=VERMILLION, linewidth=2)
        axes.plot(pixels[::2], samples[::2], "o", color=BLUE, markersize=7)
        axes.set(ylim=(-1.25, 1.25), yticks=(-1, 0, 1))
    below.set_xlabel("pixel")
    description = (
        f"Every second sample of a wave with a period of {1 / frequency:.3g} pixels lies on a slow"
        f" wave with a period of {1 / (0.5 - frequency):.3g} pixels (above), unless the wave is"
        f" blurred first (below). After the blur an amplitude of"
        f" {blurred.abs().max().item():.3f} remains."
    )
    return figure, description


@drawing
def responses(filters: Mapping[str, Tensor]) -> tuple[Figure, str]:
    """Gain over frequency of up to three symmetric filters; what folds at stride 2 is shaded."""
    figure, axes = chart(3.3)
    axes.axvspan(0.25, 0.5, color=ORANGE, alpha=0.25, linewidth=0)
    axes.text(0.375, 0.93, "folds", ha="center")
    frequency = torch.linspace(0, 0.5, 101)
    clauses = []
    for (name, taps), (colour, style) in zip(filters.items(), LINES, strict=False):
        places = torch.arange(len(taps)) - (len(taps) - 1) / 2
        gain = (torch.cos(2 * math.pi * frequency[:, None] * places) * taps).sum(1)
        axes.plot(frequency, gain, style, color=colour, linewidth=2.2, label=name)
        passed = f"{gain[50]:.2f} at a frequency of 1/4 and {gain[75]:.2f} at 3/8"
        clauses.append(f"{name} has a gain of {passed}")
    axes.set(xlabel="frequency, cycles per pixel", ylabel="gain", xlim=(0, 0.5), ylim=(0, 1.02))
    axes.set_xticks([0, 0.125, 0.25, 0.375, 0.5], ["0", "1/8", "1/4", "3/8", "1/2"])
    legend_above(figure, ncols=3, handletextpad=0.8, handlelength=1.6, columnspacing=1.0)
    intro = "Gain of each filter by frequency; waves in the shaded half fold at stride 2."
    outro = "All pass a constant and stop a wave of frequency 1/2."
    return figure, f"{intro} {'; '.join(clauses)}. {outro}"


@drawing
def shift_maps(maps: Mapping[str, Tensor]) -> tuple[Figure, str]:
    """For several networks, how much features change with each shift, on one scale of colours.

    The scale goes by square roots.

    Args:
        maps: a network's name → changes by shift, (down, right).
    """
    lines = -(-len(maps) // 2)
    figure = Figure(figsize=(WIDTH, lines * 2.1 + 0.75), layout="constrained")
    figure.get_layout_engine().set(hspace=0.06)
    scale = PowerNorm(0.5, vmin=0, vmax=max(changes.max().item() for changes in maps.values()))
    grid = list(figure.subplots(lines, 2, sharex=True, sharey=True, squeeze=False).flat)
    clauses = []
    for axes in grid[len(maps) :]:
        axes.set_visible(False)  # an odd number of networks leaves one empty
    for axes, (name, changes) in zip(grid, maps.items(), strict=False):
        image = axes.imshow(changes.numpy(), cmap="cividis", norm=scale, interpolation="none")
        axes.set(xticks=(0, 4, 7), yticks=(0, 4, 7))
        axes.set_title(name, pad=3)
        axes.spines[:].set_visible(False)
        mean = changes.sum().item() / (changes.numel() - 1)  # no shift, no change
        clauses.append(f"{name}: {mean:.3f} on average, at most {changes.max():.3f}")
    figure.supxlabel("pixels to the right", fontsize=10.5)
    figure.supylabel("pixels down", fontsize=10.5)
    label = "change (1: another photograph)"
    bar = figure.colorbar(image, ax=grid, location="top", aspect=30, label=label)
    bar.set_ticks(MaxNLocator(5).tick_values(0, scale.vmax)[:-1])
    bar.outline.set_visible(False)
    intro = f"How much the features change when the image shifts by 0 to {len(changes) - 1} pixels."
    return figure, f"{intro} {'; '.join(clauses)}."
