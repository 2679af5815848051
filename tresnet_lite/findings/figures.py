"""Figures 4 and 5, accuracy against speed: TResNets at 224 and 448 pixels, EfficientNets.

The figures' points are not printed as numbers. What stands in a column "paper" are the speeds that
its tables print; `v100` adds what was read off the figures, and what counting predicts.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from tresnet_lite.bench.comparisons import EFFICIENTNETS, ONE_PHASE
from tresnet_lite.checkout import DATA
from tresnet_lite.findings import landscape
from tresnet_lite.findings.curves import heights
from tresnet_lite.findings.tables import PAPER_SIDE, Line, beside
from tresnet_lite.paper import MODELS, paper_table
from tresnet_lite.predict import devices
from tresnet_lite.predict.paper_speeds import paper_step
from tresnet_lite.records import Failure, Record

BASE_NETWORK = ("TResNet-M", PAPER_SIDE)  # what ratios are to


def figure(
    number: int, records: Iterable[Record], failures: Iterable[Failure] = ()
) -> pd.DataFrame:
    """The lines of Figure 4 (inference) or 5 (training) for each run; TResNet-M at 224 = 1.

    Columns as `tables` has them, and top1 and top1_source (quoted), speed (the measured one again),
    and above: by how many points of top-1 a TResNet lies above the EfficientNets' curve of its run.

    Raises:
        ValueError: another figure.
    """
    suite, lines = f"figure{number}", _lines(_phase(number))
    frame = beside(records, lines, suite=suite, case="networks", failures=failures)
    keys = zip(frame["network"], frame["resolution"], strict=True)
    top1, sources = zip(*(landscape.top1_by_network()[key] for key in keys), strict=True)
    frame = frame.assign(top1=top1, top1_source=sources, speed=frame["measured"])
    rows = [heights(lines)["above"] for _, lines in frame.groupby("run", sort=False)]
    return frame.assign(above=pd.concat(rows).astype(float))


def v100(number: int) -> pd.DataFrame:
    """The points of Figure 4 or 5 on the paper's V100: as its tables print them, as read off the
    figure, and as predicted by the constants that were fitted to the tables' 24 speeds.

    Columns: network, resolution, phase, top1 (quoted), paper, digitised, predicted, low, high,
    predicted_interval, above (as `figure` has it, of the printed speeds and those read off).

    Raises:
        ValueError: another figure.
    """
    phase, fitted = _phase(number), devices.read()["v100"].fit
    read_off = pd.read_csv(DATA / "published" / "digitised.csv").query("phase == @phase")
    digitised = read_off.set_index(["model", "resolution"])["img_s"]
    rows = []
    for line in _lines(phase):
        key = (line.network, line.resolution)
        prediction = fitted.predict(*paper_step(*key, phase))
        row = {"network": line.network, "resolution": line.resolution, "phase": phase}
        row |= {"top1": landscape.top1_by_network()[key][0], "paper": line.paper}
        row |= {"digitised": float(digitised.get(key, float("nan")))}
        row |= {"predicted": prediction.value, "low": prediction.low, "high": prediction.high}
        rows.append(row | {"predicted_interval": (prediction.low, prediction.high)})
    frame = pd.DataFrame(rows)
    known = frame.assign(speed=frame["paper"].fillna(frame["digitised"]))
    return frame.assign(above=heights(known)["above"].astype(float))


def _phase(number: int) -> str:
    """The phase of Figure 4 or 5."""
    suite = f"figure{number}"
    if suite not in ONE_PHASE:
        raise ValueError(f"no Figure {number} of speeds: there are {', '.join(ONE_PHASE)}")
    return ONE_PHASE[suite]


def _lines(phase: str) -> list[Line]:
    """The points of both figures, with the paper's V100 speed where a table of it has one."""
    v100 = landscape.landscape([]).query("device == 'Tesla V100' and phase == @phase")
    printed = v100.set_index(["network", "resolution"])["speed"]
    points = [(row.model, MODELS[row.model], row.resolution) for row in paper_table(5).itertuples()]
    names = landscape.NETWORK_NAMES
    points += [(names[model], model, side) for model, side in EFFICIENTNETS.items()]
    return [
        Line(name, model, phase, float(printed.get((name, side), float("nan"))), BASE_NETWORK, side)
        for name, model, side in points
    ]
