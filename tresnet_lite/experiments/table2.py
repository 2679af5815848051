"""Table 2 rebuilt: what a TResNet consists of, read off the model in the table's own columns (paper
§2.1).
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import torch
from torch import nn

from tresnet_lite.counting import count_macs
from tresnet_lite.model import STAGES, TResNet, create_model
from tresnet_lite.paper import NAMES, paper_table

COLUMNS = ("block_type", "output", "stride", "repeats", "channels")


def specification(model: TResNet, image_size: int = 224) -> pd.DataFrame:
    """The rows of Table 2, without its last one, for a model with a SpaceToDepth stem.

    On a model on the meta device nothing is computed. Columns: layer, block_type, output
    (height×width), stride, repeats, channels.
    """

    body = model.body
    parts = {"SpaceToDepth": body.s2d, "Conv{}x{}".format(*body.conv1.conv.kernel_size): body.conv1}
    parts |= {f"Stage{i}": body.get_submodule(f"layer{i}") for i in STAGES}
    rows, before = [], image_size
    for (name, part), shape in zip(
        parts.items(), _output_shapes(model, parts.values(), image_size), strict=True
    ):
        _, channels, height, width = shape
        stage = name.startswith("Stage")
        row = {
            "layer": name if stage else "Stem",
            "block_type": _block_type(part) if stage else name,
        }
        row |= {"output": f"{height}×{width}", "stride": before // height}
        rows.append(row | {"repeats": len(part) if stage else 1, "channels": channels})
        before = height
    pooling = ("Pooling", "GlobalAvgPool", "1×1", 1, 1, model.num_features)
    return pd.DataFrame([*rows, dict(zip(("layer", *COLUMNS), pooling, strict=True))])


def _block_type(stage: nn.Sequential) -> str:
    block = stage[0]
    return type(block).__name__ + ("" if isinstance(block.se, nn.Identity) else "+SE")


def _output_shapes(model: TResNet, parts: Iterable[nn.Module], image_size: int) -> list[torch.Size]:
    """What each part gives, in the order in which they run."""
    shapes: list[torch.Size] = []
    hooks = [
        part.register_forward_hook(lambda *call: shapes.append(call[2].shape)) for part in parts
    ]
    try:
        # runs the model once, as in evaluation
        count_macs(model, (model.in_chans, image_size, image_size))
    finally:
        for hook in hooks:
            hook.remove()
    return shapes


def beside_table_2(name: str) -> pd.DataFrame:
    """Every cell that Table 2 prints for a variant, the number of parameters apart, beside the
    model's own.

    Columns: row (from 0), layer (as printed, the stem's with the block type), column, paper, ours
    (both text).
    """

    table = paper_table(2)
    printed = table[(table["model"] == NAMES[name]) & (table["layer"] != "#Params.")]
    with torch.device("meta"):
        rebuilt = specification(create_model(name))
    rows = []
    for row, (theirs, ours) in enumerate(
        zip(printed.to_dict("records"), rebuilt.to_dict("records"), strict=True)
    ):
        layer = f"Stem, {theirs['block_type']}" if theirs["layer"] == "Stem" else theirs["layer"]
        for column in COLUMNS:
            if pd.notna(theirs[column]):  # the stride of SpaceToDepth is a dash
                pair = {"paper": _text(theirs[column]), "ours": _text(ours[column])}
                rows.append({"row": row, "layer": layer, "column": column} | pair)
    return pd.DataFrame(rows)


def _text(value: object) -> str:
    """A cell as text: whole numbers, which pandas may hold as floats, without a point."""
    return f"{value:.0f}" if isinstance(value, float) else str(value)
