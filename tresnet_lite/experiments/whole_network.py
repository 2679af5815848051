"""The whole of TResNet-M, layer by layer: what it computes, moves and keeps, and where time goes.

Counted at a V100's data sheet, as in the chapter on block types; timed stage by stage on a device.
A *part* is the stem, a stage or the head; a *place* is one residual block of a stage, or a part
that has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import pandas as pd
import torch
from timm.data import ImageNetInfo
from torch import Tensor, nn

from tresnet_lite.bench.where import stages
from tresnet_lite.counting import count_parameters
from tresnet_lite.counting.kept import kept_for_backward
from tresnet_lite.counting.shapes import shape_of
from tresnet_lite.counting.trace import Call, evaluating, watching
from tresnet_lite.counting.traffic import Operation, Traffic, least_seconds
from tresnet_lite.experiments.campaigns import measure_points
from tresnet_lite.layers import BlurPool2d, InPlaceABN
from tresnet_lite.model import TResNet, create_model
from tresnet_lite.paper.published import peak
from tresnet_lite.profiles import Profile
from tresnet_lite.records import Record
from tresnet_lite.records.records import INFERENCE_FIRST

MODEL = "tresnet_m"
SUITE, CASE = "micro", "stages"  # what campaigns file the times of stages under
PARTS = ("stem", "stage 1", "stage 2", "stage 3", "stage 4", "head")
KINDS = ("3×3 convolutions", "1×1 convolutions", "norms, activations", "sums, ReLUs", "SE", "blurs")
REST = "rest"  # SpaceToDepth, averages, the classifier
# the columns of costs whose shares are shown → what their lines are called
COSTS = {
    "parameters_m": "parameters",
    "macs": "MACs",
    "moved_mb": "bytes moved, inference",
    "kept": "bytes kept, training",
    "least_time": "least time, inference, V100",
}
SHARES = [f"share {part}" for part in PARTS]  # columns of `part_shares`
TIMED_PARTS = ("stem", "layer1", "layer2", "layer3", "layer4", "head")  # as records name them


# --- counted


@dataclass(frozen=True)
class Step:
    """What a module runs by itself, besides the modules that it calls.

    The sum of a block has no module; it counts with the activation after it.
    """

    call: Call
    operations: tuple[Operation, ...]


def steps(network: nn.Module, images: Tensor) -> list[Step]:
    """The modules that move something in one evaluation, in the order in which their calls end.

    Args:
        images: (B, C, H, W); on the meta device nothing is computed.
    """
    found: list[Step] = []
    known = 0
    with evaluating(network), Traffic() as counter:

        def note(call: Call) -> None:
            nonlocal known
            if ran := tuple(counter.operations[known:]):
                found.append(Step(call, ran))
            known = len(counter.operations)

        with watching(network, note):
            network(images)
    return found


def places(network: TResNet) -> dict[str, nn.Module]:
    """The network in its places, in the order in which they run: "stage 2, block 1" and so on."""
    found: dict[str, nn.Module] = {}
    for part, module in zip(PARTS, stages(network).values(), strict=True):
        if part in ("stem", "head"):
            found[part] = module
        else:
            found |= {f"{part}, block {n}": block for n, block in enumerate(module, start=1)}
    return found


def place_of(path: str) -> str:
    """The place of a module of our networks, by its path."""
    block = re.match(r"body\.layer(\d)\.(\d+)", path)
    if block:
        return f"stage {block[1]}, block {int(block[2]) + 1}"
    return "stem" if path.startswith("body.") else "head"


def kind_of(call: Call) -> str:
    """The kind of layer, of `KINDS`, that a module is, or `REST`."""
    if ".se" in call.path:
        return "SE"
    if isinstance(call.module, nn.Conv2d):
        return "{}×{} convolutions".format(*call.module.kernel_size)
    if call.path.endswith(".act"):
        return "sums, ReLUs"
    names = {InPlaceABN: "norms, activations", BlurPool2d: "blurs"}
    return names.get(type(call.module), REST)


def step_costs(image_size: int = 224, batch: int = 32) -> pd.DataFrame:
    """What each step of an inference costs, per image of a batch in float16.

    The batch matters to bytes and time: weights are read once for all of it.

    Columns: place, kind, macs (billions, of convolutions and the classifier), moved_mb, least_time
    (µs on a V100, by its data sheet, see `least_seconds`).
    """
    network, images = _on_meta(image_size, batch)
    rows = []
    for step in steps(network, images):
        kind = kind_of(step.call)
        # a blur multiplies too, but by a fixed filter: see `count_macs`
        flop = 0 if kind == "blurs" else sum(o.flop for o in step.operations)
        row = {"place": place_of(step.call.path), "kind": kind, "macs": flop / 2 / batch / 1e9}
        row["moved_mb"] = sum(o.moved for o in step.operations) / batch / 1e6
        rows.append(row | {"least_time": least_seconds(step.operations, *peak()) / batch * 1e6})
    return pd.DataFrame(rows)


def place_costs(image_size: int = 224, batch: int = 32) -> pd.DataFrame:
    """The same by place, in the order in which they run, with sizes and what training keeps.

    Columns: part, place, blocks (the places that are alike, in one name), output (C×H×W),
    parameters_m (millions), macs (billions), moved_mb, kept (MB, where it is first kept),
    least_time (µs).
    """
    network, images = _on_meta(image_size, batch)
    outputs = {place_of(s.call.path): shape_of(s.call.output) for s in steps(network, images)}
    table = pd.DataFrame({"place": [*outputs]})
    sizes = {name: count_parameters(module) / 1e6 for name, module in places(network).items()}
    costs = step_costs(image_size, batch).groupby("place")[["macs", "moved_mb", "least_time"]].sum()
    return table.join(costs, on="place").assign(
        part=table["place"].str.partition(",")[0],
        blocks=table["place"].map(_names_of_alike(network)),
        output=table["place"].map(outputs),
        parameters_m=table["place"].map(sizes),
        kept=table["place"].map(_kept(image_size)),
    )


def block_costs(table: pd.DataFrame) -> pd.DataFrame:
    """`place_costs` with the places that are alike in one row, which holds their sums.

    Columns: place, output, and the costs.
    """
    costs = ["parameters_m", "macs", "moved_mb", "kept", "least_time"]
    joined = table.groupby("blocks", sort=False).agg(
        {"output": "last", **dict.fromkeys(costs, "sum")}
    )
    return joined.rename_axis("place").reset_index()


def kind_costs(table: pd.DataFrame) -> pd.DataFrame:
    """`step_costs` by kind of layer, and each kind's share of the least time.

    Columns: kind, macs, moved_mb, least_time, share.
    """
    costs = table.groupby("kind")[["macs", "moved_mb", "least_time"]].sum().loc[[*KINDS, REST]]
    costs["share"] = costs["least_time"] / costs["least_time"].sum()
    return costs.reset_index()


def _on_meta(image_size: int, batch: int) -> tuple[TResNet, Tensor]:
    """TResNet-M and images in float16, which compute nothing."""
    with torch.device("meta"):
        network = create_model(MODEL).half()
        return network, torch.empty(batch, 3, image_size, image_size, dtype=torch.float16)


def _kept(image_size: int) -> dict[str, float]:
    """Place → MB that training keeps there for each image."""
    many = 2**20  # so many that what is kept once, whatever the batch, is the division's rest
    network, images = _on_meta(image_size, many)
    total = dict.fromkeys(places(network), 0)
    for kept in kept_for_backward(network.train(), images):
        total[place_of(kept.module)] += kept.bytes
    return {place: size // many / 1e6 for place, size in total.items()}


def _names_of_alike(network: TResNet) -> dict[str, str]:
    """Place → its name with its likes: "stage 2, blocks 2–4".

    A block that halves the resolution is unlike the others.
    """

    def group(item: tuple[str, nn.Module]) -> tuple[str, bool]:
        name, module = item
        halves = getattr(module, "downsample", nn.Identity())
        return name.partition(",")[0], isinstance(halves, nn.Identity)

    found: dict[str, str] = {}
    for _, items in groupby(places(network).items(), key=group):
        names = [name for name, _ in items]
        label, last = names[0], names[-1].rpartition(" ")[2]
        if len(names) > 1:
            label = f"{label.replace('block', 'blocks')}–{last}"
        found |= dict.fromkeys(names, label)
    return found


# --- timed


def measure_stages(settings: Profile) -> list[Record]:
    """Seconds of each part of TResNet-M alone, in both phases: a point of the campaign's.

    Raises:
        CampaignError, RuntimeError: as `measure_points`.
    """
    records = measure_points(settings, MODEL, case=CASE)
    return sorted(records, key=lambda record: INFERENCE_FIRST.index(record.phase))


def part_shares(table: pd.DataFrame, records: Iterable[Record]) -> pd.DataFrame:
    """Each part's share of a cost, per cent: parameters, MACs, bytes, and time, least and measured.

    Args:
        table: of `place_costs`.
        records: times of parts, of any devices. Of the same case the first counts, and a run that
            lacks a part is left out.

    Columns: name, then those of `SHARES`.
    """
    costs = table.groupby("part")[list(COSTS)].sum().loc[list(PARTS)]
    lines = {COSTS[column]: costs[column].tolist() for column in COSTS}
    runs: dict[tuple, dict[str, float]] = {}
    for r in records:
        if (r.suite, r.case, r.model, r.metric) == (SUITE, CASE, MODEL, "time"):
            where = (r.provenance.device, r.conditions, r.phase)
            runs.setdefault(where, {}).setdefault(r.part, r.value.median)
    for (device, ran, phase), times in runs.items():
        if len(times) == len(PARTS):
            name = f"{phase} time, {device}, {ran.resolution} px"
            lines[name] = [times[part] for part in TIMED_PARTS]
    rows = []
    for name, values in lines.items():
        shares = (100 * value / sum(values) for value in values)
        rows.append({"name": name, **dict(zip(SHARES, shares, strict=True))})
    return pd.DataFrame(rows)


# --- published weights


def top_classes(
    network: nn.Module, images: Tensor, count: int = 5
) -> list[list[tuple[str, float]]]:
    """For each image the `count` likeliest of ImageNet's classes, with their probabilities.

    Args:
        network: 1000 classes, in ImageNet's order; it is put in evaluation mode.
        images: (B, 3, H, W), on the network's device.
    """
    names = ImageNetInfo("imagenet-1k")
    with torch.no_grad():
        found = network.eval()(images).softmax(1).topk(count)
    pairs = zip(found.indices.tolist(), found.values.tolist(), strict=True)
    return [
        [(names.index_to_description(i), p) for i, p in zip(*pair, strict=True)] for pair in pairs
    ]
