"""Accuracy against speed in inference, by class of evidence: the V100's, and a newer GPU's.

The V100's speeds are printed in the paper's tables, and where these have none they are predicted by
counting, with constants fitted to the printed ones. The newer GPU's were published by timm. All
accuracies are quoted.
"""

from __future__ import annotations

import pandas as pd

from tresnet_lite.findings.curves import family
from tresnet_lite.findings.landscape import landscape, top1_by_network
from tresnet_lite.predict import devices
from tresnet_lite.predict.paper_speeds import paper_step

PRINTED, PREDICTED, PUBLISHED = "printed", "predicted", "published"
PHASE = "inference"
# The newest card of timm's that has all networks, run as the paper ran them
NEWER = {"device": "RTX 5090", "torch": "2.9.1", "compile": "eager"}
POINT_COLUMNS = ["device", "evidence", "network", "family", "resolution", "speed", "low", "high"]
POINT_COLUMNS += ["top1"]


def speeds_by_evidence() -> pd.DataFrame:
    """The points of both GPUs, the V100's first, with the columns `POINT_COLUMNS`.

    `speed` is in images per second; `low` and `high` are the ends of a prediction's 95 % interval,
    and NaN elsewhere.
    """
    quoted = landscape([]).query("phase == @PHASE")
    printed = quoted[quoted["device"] == "Tesla V100"].assign(evidence=PRINTED)
    newer = quoted[(quoted[list(NEWER)] == pd.Series(NEWER)).all(axis=1)]
    newer = newer[newer["memory_format"] == "channels_first"].assign(evidence=PUBLISHED)
    known = set(zip(printed["network"], printed["resolution"], strict=True))
    predicted = pd.DataFrame(_predicted(known)).assign(device="Tesla V100", evidence=PREDICTED)
    points = pd.concat([printed, predicted, newer], ignore_index=True)
    return points.reindex(columns=POINT_COLUMNS)


def _predicted(known: set[tuple[str, int]]) -> list[dict[str, object]]:
    """The V100's speed of each network of known accuracy that is not among the `known` ones."""
    fitted, rows = devices.read()["v100"].fit, []
    for (name, side), (top1, _) in top1_by_network().items():
        if (name, side) in known:
            continue
        speed = fitted.predict(*paper_step(name, side, PHASE))
        about = {"network": name, "family": family(name), "resolution": side, "top1": top1}
        rows.append({**about, "speed": speed.value, "low": speed.low, "high": speed.high})
    return rows
