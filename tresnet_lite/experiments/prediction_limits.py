"""What counting does not explain, what it does not decide, and how well it does elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from tresnet_lite.checkout import DATA
from tresnet_lite.experiments.predicted_speeds import (
    ALIKE,
    Refit,
    newest_files,
    paper_predictions,
    predictions,
    refit_for,
)
from tresnet_lite.findings.landscape import NETWORK_NAMES, PAPER_SOURCE, landscape
from tresnet_lite.findings.tables import PAPER_SIDE
from tresnet_lite.paper import MODELS, paper_table
from tresnet_lite.paper.published import benchmark_conditions
from tresnet_lite.predict import Fit, Speed, devices, fit
from tresnet_lite.predict.constants import (
    PAPER_FREE,
    PAPER_RULES,
    RULES,
    TWO,
    V100,
    fit_paper,
)
from tresnet_lite.predict.devices import Constants, datasheet
from tresnet_lite.predict.fit import Errors, Prediction, predicted_over_measured
from tresnet_lite.predict.paper_report import CHOICES, competitor_bias
from tresnet_lite.predict.paper_speeds import PHASES, digitised_speeds, paper_speeds
from tresnet_lite.predict.roofline import demand, operation_seconds
from tresnet_lite.predict.sources import (
    counted_load,
    network_records,
    published_speeds,
    record_speeds,
)
from tresnet_lite.records import Record

ODD = ("ResNet50-D", "EfficientNetB1", "MixNet-L")  # of Table 1
PADDINGS = {  # of MACs, of which the first is the one chosen
    f"groups padded to {PAPER_RULES.grouped}, as chosen": PAPER_RULES,
    **{name: CHOICES[name] for name in ("groups padded to 16", "groups padded to 64")},
    **{name: CHOICES[name] for name in ("dense outputs padded to 8", "nothing padded")},
}


def ratio_left_out(
    speeds: Sequence[Speed], refit: Refit, pair: tuple[str, str], phase: str
) -> Prediction:
    """The speed of one network over another's, by constants that were fitted to neither."""
    fitted = refit([speed for speed in speeds if speed.name not in pair])
    steps = [_speed_of(speeds, name, phase) for name in pair]
    return fitted.ratio(*((speed.load, speed.batch) for speed in steps))


def _speed_of(speeds: Sequence[Speed], name: str, phase: str) -> Speed:
    """The first speed of a network in a phase, which is that of the smallest images."""
    return next(s for s in speeds if s.name == name and s.load.phase == phase)


def odd_ratios(records: Iterable[Record]) -> pd.DataFrame:
    """The speeds of `ODD` over ResNet50's: printed, predicted, published and measured.

    Published for other GPUs and measured on them in mixed precision, eager, channels first.

    Columns: network, phase, paper_ratio, predicted_ratio, predicted_interval, quoted_range and
    measured_range (the least and the largest; NaN where there is none).
    """
    points, speeds, rows = landscape(records).query(ALIKE), paper_speeds(), []
    points = points[~points["source"].str.startswith(PAPER_SOURCE)]
    for network in ODD:
        lines = points[points["network"] == NETWORK_NAMES[MODELS[network]]]
        for phase, column in PHASES.items():
            printed = paper_table(1).set_index("model")[column]
            ratio = ratio_left_out(speeds, fit_paper, (network, "ResNet50"), phase)
            row = {"network": network, "phase": phase}
            row |= {"paper_ratio": printed[network] / printed["ResNet50"]}
            row |= {"predicted_ratio": ratio.value, "predicted_interval": (ratio.low, ratio.high)}
            of_phase = lines[lines["phase"] == phase]
            for kind in ("quoted", "measured"):
                ratios = of_phase[of_phase["kind"] == kind]["ratio"]
                row[f"{kind}_range"] = (ratios.min(), ratios.max())
            rows.append(row)
    return pd.DataFrame(rows)


def readme_speeds() -> pd.DataFrame:
    """The speeds that the authors' README prints otherwise than the paper's Table 1.

    Columns: network, phase, paper, readme, predicted (the network left out), predicted_interval.
    """
    readme = pd.read_csv(DATA / "published" / "authors_readme.csv")
    predicted = paper_predictions().set_index(["network", "phase"])
    printed, rows = paper_table(1).set_index("model"), []
    for line in readme.to_dict("records"):
        for phase, column in PHASES.items():
            row = {"network": line["model"], "phase": phase, "readme": line[column]}
            row |= {"paper": printed.at[line["model"], column]}
            columns = ["predicted", "low", "high", "predicted_interval"]
            if row["paper"] != row["readme"]:
                rows.append(row | predicted.loc[(line["model"], phase), columns].to_dict())
    return pd.DataFrame(rows)


def near_networks() -> pd.DataFrame:
    """TResNet-M's speed over ResNet50's by constants fitted to neither: on the paper's V100, and in
    timm's `newest_files`.

    Columns: where, phase, predicted_ratio, predicted_interval, ratio (the real one), kind
    ("printed" or "published"), word ("undecided" where the interval contains 1).
    """
    rows = []
    for where, phase, ratio, real, kind in _near_networks():
        row = {"where": where, "phase": phase, "predicted_ratio": ratio.value, "ratio": real}
        row |= {
            "predicted_interval": (ratio.low, ratio.high),
            "kind": kind,
            "word": which_is_faster(ratio),
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _near_networks() -> Iterator[tuple[str, str, Prediction, float, str]]:
    sources = [(V100, "printed", ("TResNet-M", "ResNet50"), paper_speeds(), fit_paper)]
    for file in newest_files():
        device = benchmark_conditions(file)["device"]
        pair = ("tresnet_m", "resnet50")
        sources.append((device, "published", pair, published_speeds(file), refit_for(file)))
    for where, kind, pair, speeds, refit in sources:
        for phase in dict.fromkeys(speed.load.phase for speed in speeds):
            ratio = ratio_left_out(speeds, refit, pair, phase)
            one, other = (_speed_of(speeds, name, phase).images_per_second for name in pair)
            yield where, phase, ratio, one / other, kind


def which_is_faster(ratio: Prediction) -> str:
    """What the interval of TResNet-M's speed over ResNet50's says."""
    if ratio.low < 1 < ratio.high:
        return "undecided"
    return "TResNet-M" if ratio.low >= 1 else "ResNet50"


def competitor_table() -> pd.DataFrame:
    """How much too fast TResNets come out of constants that were fitted to all others, by the rule
    for padding.

    Columns: setting, inference_off and training_off (the mean), rms (those others, left out).
    """
    speeds, figures, rows = paper_speeds(), digitised_speeds(), []
    for setting, rules in PADDINGS.items():
        bias, own = competitor_bias(speeds, figures, rules)
        off = {f"{phase}_off": value for phase, value in bias.items()}
        rows.append({"setting": setting, **off, "rms": own.rms})
    return pd.DataFrame(rows)


def from_other_cards() -> pd.DataFrame:
    """The paper's inference by the constants of newer cards, scaled to the V100 by data sheets.

    Columns: where (the card), scaled_ratio (the median of predicted over printed), median (the
    error that is left when all predictions are divided by that).
    """
    speeds, rows = [s for s in paper_speeds() if s.load.phase == "inference"], []
    for constants in devices.read().values():
        if constants.device == V100:
            continue
        ratios = [predicted_over_measured(speed, on_v100(constants)) for speed in speeds]
        factor = float(np.median(ratios))
        error = Errors.of(np.array(ratios) / factor).median
        rows.append({"where": constants.device, "scaled_ratio": factor, "median": error})
    return pd.DataFrame(rows)


def on_v100(constants: Constants) -> Fit:
    """Constants of another card, each as much smaller as the V100's data sheet promises less."""
    ours, theirs, rates = datasheet(V100), datasheet(constants.device), constants.fit.rates
    scaled = {
        name: getattr(rates, name) * getattr(ours, name) / getattr(theirs, name) for name in TWO
    }
    return replace(constants.fit, rates=replace(rates, **scaled))


def own_predictions(records: Iterable[Record]) -> tuple[Fit, pd.DataFrame]:
    """Constants of a GPU with records of its own, a launch's time among them, and `predictions`."""
    records = list(records)
    speeds, device = record_speeds(records), network_records(records)[-1].provenance.device
    free = (*PAPER_FREE, "launch")
    refit = partial(fit, free=free, rules=RULES, ceiling=datasheet(device))
    return refit(speeds), predictions(speeds, refit)


def launched(network: str, batch: int, fitted: Fit) -> float:
    """The share of the operations of an inference at 224 px that take as long as a launch."""
    step = (counted_load(network, PAPER_SIDE, "inference"), batch)
    seconds = operation_seconds(demand([step], fitted.rules), fitted.rates)
    return float((seconds <= 1.001 * fitted.rates.launch / batch).mean())


def validation_summary() -> pd.DataFrame:
    """`data/predict/validation.csv` by way of running.

    Columns: ran, files, networks (of all files), median, activations_error, macs_error, within_10,
    covered and ratios_covered (medians over the files), bandwidth_ratio (the largest that was
    fitted over the data sheet's; NaN without one).
    """
    table = pd.read_csv(DATA / "predict" / "validation.csv")
    ways = pd.DataFrame([benchmark_conditions(file) for file in table["file"]])
    layouts = ways["memory_format"].str.replace("_", " ")
    sheets = [datasheet(device) for device in ways["device"]]
    promised = [sheet.bandwidth / 1e9 if sheet else math.nan for sheet in sheets]
    table["ran"] = ways["phase"] + ", " + layouts + ", " + ways["compile"]
    table["bandwidth"] = table["gb_per_second"] / promised
    columns = {"files": ("file", "count"), "networks": ("networks", "sum")}
    columns |= {"macs_error": ("macs", "median"), "activations_error": ("activations", "median")}
    for name in ("median", "within_10", "covered", "ratios_covered"):
        columns[name] = (name, "median")
    columns["bandwidth_ratio"] = ("bandwidth", "max")
    return table.groupby("ran", sort=False).agg(**columns).reset_index()
