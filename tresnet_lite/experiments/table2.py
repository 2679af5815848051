"""Table 2 rebuilt: what a TResNet consists of, in the table's own columns (paper §2.1)."""

from __future__ import annotations

import pandas as pd
import torch
from torch import nn

from tresnet_lite.counting.trace import trace
from tresnet_lite.model import STAGES, TResNet, create_model
from tresnet_lite.paper import NAMES, paper_table

TABLE_2_COLUMNS = ("block_type", "output", "stride", "repeats", "channels")


def specification(model: TResNet, image_size: int = 224) -> pd.DataFrame:
    """The rows of Table 2, without its last one, for a model with a SpaceToDepth stem.

    On a model on the meta device nothing is computed. Columns: layer, block_type, output
    (height×width), stride, repeats, channels.
    """
    calls = trace(model, (model.in_chans, image_size, image_size))
    outputs = {call.module: call.output for call in calls}
    body = model.body
    kernel = "{}x{}".format(*body.conv1.conv.kernel_size)
    parts = [("Stem", "SpaceToDepth", body.s2d, 1), ("Stem", f"Conv{kernel}", body.conv1, 1)]
    for i in STAGES:
        stage = body.get_submodule(f"layer{i}")
        parts.append((f"Stage{i}", _block_type(stage), stage, len(stage)))
    rows, side = [], image_size
    for layer, block_type, part, repeats in parts:
        channels, height, width = outputs[part]
        rows.append((layer, block_type, f"{height}×{width}", side // height, repeats, channels))
        side = height
    rows.append(("Pooling", "GlobalAvgPool", "1×1", 1, 1, model.num_features))
    return pd.DataFrame(rows, columns=["layer", *TABLE_2_COLUMNS])


def _block_type(stage: nn.Sequential) -> str:
    block = stage[0]
    return type(block).__name__ + ("" if isinstance(block.se, nn.Identity) else "+SE")


def beside_table_2(name: str) -> pd.DataFrame:
    """Every cell that Table 2 prints for a variant, but its parameters, beside the model's own.

    Columns: row (from 0), layer (as printed, the stem's with the block type), column, paper, ours
    (both text).
    """
    table = paper_table(2)
    printed = table[(table["model"] == NAMES[name]) & (table["layer"] != "#Params.")]
    with torch.device("meta"):
        rebuilt = specification(create_model(name))
    pairs = zip(printed.to_dict("records"), rebuilt.to_dict("records"), strict=True)
    rows = []
    for row, (theirs, ours) in enumerate(pairs):
        layer = f"Stem, {theirs['block_type']}" if theirs["layer"] == "Stem" else theirs["layer"]
        for column in TABLE_2_COLUMNS:
            if pd.notna(theirs[column]):  # the stride of SpaceToDepth is a dash
                pair = {"paper": _text(theirs[column]), "ours": _text(ours[column])}
                rows.append({"row": row, "layer": layer, "column": column} | pair)
    return pd.DataFrame(rows)


def _text(value: object) -> str:
    """A cell as text: whole numbers, which pandas may hold as floats, without a point."""
    return f"{value:.0f}" if isinstance(value, float) else str(value)
