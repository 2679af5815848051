"""Checks of claims about structure and sizes, by counting."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

import torch
from torch import nn

from tresnet_lite.claims.verdict import Verdict, counted, near
from tresnet_lite.counting import count_macs, count_parameters
from tresnet_lite.counting.block_steps import block_steps
from tresnet_lite.counting.trace import trace
from tresnet_lite.experiments.blocks import block_sizes
from tresnet_lite.experiments.squeeze_excite import designs, reductions
from tresnet_lite.experiments.table2 import beside_table_2
from tresnet_lite.layers import BlurPool2d
from tresnet_lite.model import BLOCKS, create_model, variant
from tresnet_lite.paper import NAMES, paper_table, paper_value
from tresnet_lite.records import Record


def parameters(
    records: list[Record], *, model: str, classifier: bool, paper: dict, tolerance: float
) -> list[Verdict]:
    """Has `model` the printed number of parameters, in millions, with or without its classifier?"""
    with torch.device("meta"):
        ours = count_parameters(create_model(model, num_classes=1000 if classifier else 0)) / 1e6
    return [_size(ours, paper, tolerance, "M")]


def macs(records: list[Record], *, model: str, paper: dict, tolerance: float) -> list[Verdict]:
    """Does `model` take the printed billions of multiply-accumulates at 224 px?"""
    with torch.device("meta"):
        ours = count_macs(create_model(model)) / 1e9
    return [_size(ours, paper, tolerance, "G")]


def _size(ours: float, paper: dict, tolerance: float, unit: str) -> Verdict:
    printed = paper_value(**paper)
    good, why = near(ours, printed, tolerance)
    return counted(good, why, f"{printed:g} {unit}", f"{ours:.3f} {unit}")


def output_side(
    records: list[Record], *, model: str, layer: str, resolution: int, paper: dict
) -> list[Verdict]:
    """Has the output of `layer` the height and width that the paper prints?"""
    with torch.device("meta"):
        calls = trace(create_model(model), (3, resolution, resolution))
    height, width = next(call.output[1:] for call in calls if call.path == layer)
    printed, ours = paper_value(**paper), f"{height}×{width}"
    return [counted(ours == printed, f"from an image of {resolution}×{resolution}", printed, ours)]


def table_2_cells(records: list[Record], *, model: str, layers: list[str]) -> list[Verdict]:
    """Does `model` agree with every cell that Table 2 prints for some of its layers?"""
    cells = beside_table_2(model).query("layer in @layers")
    other = cells.query("paper != ours")
    differing = (f"{c.layer}: {c.column} {c.ours}, printed {c.paper}" for c in other.itertuples())
    why = "; ".join(differing) or "every cell agrees"
    ours = f"{len(cells) - len(other)} of {len(cells)} cells"
    return [counted(other.empty, why, f"{len(cells)} cells", ours)]


def block_exceeds(records: list[Record], *, column: str, block: str, base: str) -> list[Verdict]:
    """Is a count larger for one block type than for the other, at all four stages' shapes?"""
    counts = block_sizes().pivot(index="stage", columns="block", values=column)
    ratios = counts[block] / counts[base]
    why = f"{column}, {block} over {base}, at the shapes of the four stages"
    ours = "–".join(dict.fromkeys(f"{ratio:.2f}" for ratio in (min(ratios), max(ratios))))
    return [counted((ratios > 1).all(), why, "> 1×", f"{ours}×")]


def stages_deeper(
    records: list[Record], *, model: str, base: str, stages: list[int]
) -> list[Verdict]:
    """Do these stages, and no others, differ in depth between two variants?"""
    ours, theirs = variant(model).depths, variant(base).depths
    differ = [stage for stage, (a, b) in enumerate(zip(ours, theirs, strict=True), 1) if a != b]
    paper, answer = (f"stage {', '.join(map(str, s))}" for s in (stages, differ))
    return [counted(differ == stages, f"depths {ours} where {base} has {theirs}", paper, answer)]


def vary_only(records: list[Record], *, models: list[str], fields: list[str]) -> list[Verdict]:
    """Do the configurations of some variants differ in these fields and no others?"""
    first, *others = (asdict(variant(model)) for model in models)
    differ = [key for key in first if any(other[key] != first[key] for other in others)]
    why = f"configurations of {', '.join(models)} compared"
    return [counted(set(differ) == set(fields), why, ", ".join(fields), ", ".join(differ))]


def se_stages(records: list[Record], *, model: str) -> list[Verdict]:
    """Has `model` SE in the stages whose block type Table 2 prints with "+SE", and no others?"""
    table = paper_table(2)
    stages = table[(table["model"] == NAMES[model]) & table["layer"].str.startswith("Stage")]
    printed = _places(cell.endswith("+SE") for cell in stages["block_type"])
    ours = _places(variant(model).se)
    return [counted(ours == printed, "the stages with SE", printed, ours)]


def _places(flags: Iterable[bool]) -> str:
    return ", ".join(str(place) for place, flag in enumerate(flags, 1) if flag)


def se_place(
    records: list[Record], *, block: str, after: str = "", before: str = ""
) -> list[Verdict]:
    """Does SE come right after, or before, a step of a block, without norms and activations?"""
    layers = ("conv", "SE", "sum")
    steps = [step for step in block_steps(*designs()[block]) if step.startswith(layers)]
    side, place = ("after", -1) if after else ("before", 1)
    printed, ours = after or before, steps[steps.index("SE") + place]
    why = ", ".join(steps)
    return [counted(ours == printed, why, f"{side} the {printed}", f"{side} the {ours}")]


def se_reduction(records: list[Record], *, block: str, factor: int) -> list[Verdict]:
    """Does SE squeeze by this factor in TResNet-M's blocks of a type, as published?"""
    rows = reductions().query("block == @block")
    expansion = BLOCKS[block.lower().removesuffix("block")].expansion
    whys = []
    for row in rows.itertuples():
        widths = f"stage {row.stage}: {row.channels} channels to {row.coded_channels}"
        of_output = f", {row.coded * expansion:g} relative to the block's output"
        whys.append(widths + (of_output if expansion > 1 else ""))
    why = "; ".join(whys)
    ours = " and ".join(f"{r:g}" for r in rows["coded"])
    return [counted((rows["coded"] == factor).all(), why, f"{factor}", ours)]


def blurs_for_strides(records: list[Record], *, model: str) -> list[Verdict]:
    """Has each convolution of stride 2 become, in `model`, one of stride 1 with a 3×3 blur?

    The convolutions of stride 2 are those of the network without any blur: the shortcuts' too.
    """
    with torch.device("meta"):
        strided = create_model(model, antialias=False, shortcut="strided").named_modules()
        layers = dict(create_model(model).named_modules())
    names = [n for n, m in strided if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
    other = [name for name in names if not _is_blurred(layers, name)]
    stages = ", ".join(f"{name.split('.')[1]}'s shortcut" for name in other)
    why = f"an average of 2×2 pixels instead in {stages}" if other else "every one"
    ours = f"{len(names) - len(other)} of {len(names)}"
    return [counted(not other, why.replace("layer", "stage "), "all", ours)]


def _is_blurred(layers: dict[str, nn.Module], name: str) -> bool:
    """Is the convolution of this name dense, with a blur of stride 2 after it?"""
    conv, blur = layers.get(name), layers.get(name.removesuffix("conv") + "aa")
    dense = isinstance(conv, nn.Conv2d) and conv.stride == (1, 1)
    return dense and isinstance(blur, BlurPool2d) and blur.stride == 2
