"""Block types (§2.1): BasicBlock and Bottleneck alone, and every mix of them over four stages.

All are as on table 4's third rung, with BatchNorm and ReLU, without SE and blurs, so that the block
type alone differs. A mix is named after its four types, for example
"basic-basic-bottleneck-bottleneck"; so are its records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import product

import pandas as pd
import torch
from torch import nn

from tresnet_lite.bench import inference_step, measure_many, training_step
from tresnet_lite.bench.clock import clock_options
from tresnet_lite.bench.roofline import ceiling_records, ceiling_work
from tresnet_lite.counting import count_macs, count_parameters, receptive_field
from tresnet_lite.counting.kept import kept_mb
from tresnet_lite.counting.shapes import shape_of
from tresnet_lite.counting.traffic import (
    Operation,
    bytes_moved,
    intensity,
    least_seconds,
    operations_of,
)
from tresnet_lite.counting.variants import (
    ALL_BASIC as ALL_BASIC,
)
from tresnet_lite.counting.variants import (
    ALL_BOTTLENECK,
    BEFORE,
    CORNERS,
    FORMER_RUNG,
    MIXES,
    PAPERS_CHOICE,
    RUNG,
    mix_network,
    rung,
    stem_of,
)
from tresnet_lite.experiments.experiment import Experiment, by_phase, speed_ratios
from tresnet_lite.experiments.table2 import TABLE_2_COLUMNS, beside_table_2
from tresnet_lite.findings.sizes import counts
from tresnet_lite.model import BLOCKS, STAGES, TResNet, TResNetConfig, paper_reading, variant
from tresnet_lite.paper import NAMES, paper_value
from tresnet_lite.paper.published import peak
from tresnet_lite.profiles import DTYPES, Profile
from tresnet_lite.records import Conditions, Record, collect

SUITE = "blocks"
BLOCK_LABELS = {"basic": "BasicBlock", "bottleneck": "Bottleneck"}
SYMBOLS = {"basic": "■", "bottleneck": "□"}
LETTERS = {"tresnet_m": "m", "tresnet_l": "l", "tresnet_xl": "xl"}  # of table 2 → in columns


# --- single blocks


def block(kind: str, stage: int, config: TResNetConfig | None = None) -> nn.Module:
    """A block from inside a stage, (B, C, H, W) → the same; C is the stage's width × expansion."""
    config = config or rung()
    planes = config.width * 2 ** (stage - 1)
    return BLOCKS[kind](planes * BLOCKS[kind].expansion, planes, 1, config.se[stage - 1], config)


def block_input(kind: str, stage: int, image_size: int, batch: int) -> torch.Tensor:
    """Random numbers of the shape that a block of this kind meets in this stage."""
    side = image_size // 2 ** (stage + 1)
    return torch.rand(batch, rung().width * 2 ** (stage - 1) * BLOCKS[kind].expansion, side, side)


def block_sizes(image_size: int = 224, batch: int = 32) -> pd.DataFrame:
    """What one block asks for, by stage and type, in float32.

    Columns: stage, block, name, shape, parameters, macs_m (millions), moved_mb (MB per image that
    the operators of an evaluation read and write), intensity (FLOP per byte of these), kept (MB per
    image for backward), window (pixels of the image by which the block widens what an output sees).
    The batch matters to moved_mb and intensity: weights are read once for all of it.
    """
    rows = []
    for stage, kind in product(STAGES, BLOCKS):
        with torch.device("meta"):  # nothing is computed
            one, x = block(kind, stage), block_input(kind, stage, image_size, batch)
        shape = tuple(x.shape[1:])
        # a pixel of the block's own input stands for 2^(stage + 1) of the image's
        window = (receptive_field(main_path(one)).size - 1) * 2 ** (stage + 1)
        row = {"stage": stage, "block": kind, "name": BLOCK_LABELS[kind], "shape": shape_of(shape)}
        row |= {"parameters": count_parameters(one), "macs_m": count_macs(one, shape) / 1e6}
        row |= {"moved_mb": bytes_moved(one, x) / batch / 1e6, "intensity": intensity(one, x)}
        rows.append({**row, "kept": kept_mb(one, shape), "window": window})
    return pd.DataFrame(rows)


# What an operation of a block is called in `step_times`: by PyTorch's name of it.
STEPS = {
    "convolution": "convolutions",
    "native_batch_norm": "norms",
    "relu": "activations",
    "add": "sum",
}


def step_times(kind: str, stage: int, batch: int = 32) -> dict[str, float]:
    """The least µs per image that a V100 takes for each kind of step of a block, at 224 px.

    By its data sheet, in float16, step after step: the FLOP of a convolution cannot hide the bytes
    of a norm (see `least_seconds`). The keys are the values of `STEPS`.
    """
    times = dict.fromkeys(STEPS.values(), 0.0)
    for operation in _operations(kind, stage, batch):
        times[STEPS[operation.name]] += least_seconds([operation], *peak()) / batch * 1e6
    return times


def block_times(batch: int = 32) -> pd.DataFrame:
    """The roofline of a V100 for each block at 224 px, of the block as a whole and step by step.

    By its data sheet, in float16. As a whole, a block takes the longer of the time for all of its
    FLOP and of that for all of its bytes; that would need all steps in one kernel.

    Columns: stage, block, name, intensity (FLOP per byte), block_time and step_time (µs per image),
    block_ratio and step_ratio (the BasicBlock's time over the block's: relative speed).
    """
    rows = []
    for stage, kind in product(STAGES, BLOCKS):
        steps = _operations(kind, stage, batch)
        flop, moved = sum(s.flop for s in steps), sum(s.moved for s in steps)
        row = {"stage": stage, "block": kind, "name": BLOCK_LABELS[kind], "intensity": flop / moved}
        row["block_time"] = least_seconds([Operation(kind, moved, 0, flop)], *peak()) / batch * 1e6
        rows.append(row | {"step_time": sum(step_times(kind, stage, batch).values())})
    table = pd.DataFrame(rows)
    basic = table["stage"].map(table[table["block"] == "basic"].set_index("stage")["block_time"])
    by_step = table["stage"].map(table[table["block"] == "basic"].set_index("stage")["step_time"])
    return table.assign(
        block_ratio=basic / table["block_time"], step_ratio=by_step / table["step_time"]
    )


def _operations(kind: str, stage: int, batch: int) -> list[Operation]:
    """What one block runs on a batch at 224 px in float16."""
    with torch.device("meta"):  # nothing is computed
        return operations_of(block(kind, stage).half(), block_input(kind, stage, 224, batch).half())


def main_path(block: nn.Module) -> list[nn.Module]:
    """A block's convolution units in their order, the shortcut left out."""
    return [unit for name, unit in block.named_children() if name.startswith("conv")]


def measure_blocks(settings: Profile) -> list[Record]:
    """Images per second of single blocks, both types at each stage's shape, in both phases.

    Records of case "stage 1" to "stage 4", model "basic" or "bottleneck", and the device's ceilings
    (suite "roofline"), which are timed together with the inference, so that a drift of the machine
    falls on all alike.
    """
    places = list(product(STAGES, BLOCKS))
    steps: dict[str, dict] = {"inference": {}, "training": {}}
    for stage, kind in places:
        x = block_input(kind, stage, settings.image_size, settings.batch)
        x = x.to(settings.device, DTYPES[settings.dtype])  # as maps are inside a network
        evaluated, trained = (block(kind, stage).to(settings.device) for _ in range(2))
        steps["inference"][stage, kind] = inference_step(evaluated, x, dtype=settings.dtype)
        steps["training"][stage, kind] = block_training_step(trained, x, settings.dtype)
    ceilings = ceiling_work(settings.device, settings.dtype)
    steps["inference"].update({name: work.run for name, work in ceilings.items()})
    ran = Conditions(settings.batch, settings.image_size, settings.dtype)
    options = clock_options(settings)
    options["max_seconds"] = settings.max_seconds / 4  # there are many to time
    records = []
    for phase, functions in steps.items():
        timings = measure_many(functions, **options)
        provenance = collect(settings.device)
        for stage, kind in places:
            speed = timings[stage, kind].rate(settings.batch)
            what = (SUITE, f"stage {stage}", kind, phase, "throughput")
            records.append(Record(*what, speed, ran, provenance))
        if phase == "inference":
            records += ceiling_records(ceilings, timings, settings.device)
    return records


def block_training_step(block: nn.Module, x: torch.Tensor, dtype: str) -> Callable[[], object]:
    """A training step of a block on x, which needs a gradient as it does inside a network."""
    x = x.clone().requires_grad_()

    def loss(output: torch.Tensor) -> torch.Tensor:
        x.grad = None  # else every step would add to the last one's
        return output.float().mean()

    return training_step(block, x, dtype=dtype, loss=loss)


def block_speeds(records: Sequence[Record]) -> pd.DataFrame:
    """Single blocks in images per second, and each as a ratio to the BasicBlock of its stage.

    Columns: stage, block, name, then those of `by_phase`.
    """
    stages = []
    for stage in STAGES:
        speeds = speed_ratios(records, suite=SUITE, case=f"stage {stage}", base="basic")
        wide = by_phase(speeds).loc[list(BLOCKS)].rename_axis("block").reset_index()
        stages.append(wide.assign(stage=stage, name=wide["block"].map(BLOCK_LABELS)))
    return pd.concat(stages, ignore_index=True)


def achieved(records: Sequence[Record], settings: Profile) -> pd.DataFrame:
    """Where each block stands under the roofline, in inference.

    Columns: stage, block, name, intensity (FLOP/byte), flops, q1, q3 (FLOP/s reached).
    """
    dtype = DTYPES[settings.dtype]
    speeds = {(r.case, r.model): r.value for r in records if r.phase == "inference"}
    rows = []
    for stage, kind in product(STAGES, BLOCKS):
        with torch.device("meta"):
            one = block(kind, stage).to(dtype)
            x = block_input(kind, stage, settings.image_size, settings.batch).to(dtype)
        flop, speed = 2 * count_macs(one, tuple(x.shape[1:])), speeds[f"stage {stage}", kind]
        row = {"stage": stage, "block": kind, "name": BLOCK_LABELS[kind]}
        row["intensity"] = intensity(one, x)
        row |= {"flops": flop * speed.median, "q1": flop * speed.q1, "q3": flop * speed.q3}
        rows.append(row)
    return pd.DataFrame(rows)


# --- mixes


def mix_experiment(base: str = ALL_BOTTLENECK) -> Experiment:
    """Four mixes and the rung before, in both phases."""
    return Experiment(
        SUITE,
        "mixes",
        {name: symbols(name) for name in (*CORNERS, BEFORE)},
        base,
        printed={
            BEFORE: {"table": 4, "refinement": FORMER_RUNG},
            PAPERS_CHOICE: {"table": 4, "refinement": RUNG},
        },
    )


# All sixteen, in inference, by one process: an indication of where the four stand.
EVERY_MIX = Experiment(SUITE, "every mix", {name: name for name in MIXES}, ALL_BOTTLENECK)


def symbols(name: str) -> str:
    """A network in four squares, stage 1 first: ■ BasicBlock, □ Bottleneck."""
    kinds = rung(FORMER_RUNG).blocks if name == BEFORE else name.split("-")
    return "".join(SYMBOLS[kind] for kind in kinds)


def window_sides(network: TResNet) -> list[int]:
    """Side in pixels of what one output sees: after the stem, and after each block."""
    chain: list[nn.Module] = [stem_of(network)]
    sides = [receptive_field(chain).size]
    for stage in STAGES:
        for block in network.body.get_submodule(f"layer{stage}"):
            chain += main_path(block)
            sides.append(receptive_field(chain).size)
    return sides


def mix_sizes(names: Iterable[str] = MIXES) -> pd.DataFrame:
    """What mixes have, compute and keep at 224 px, and how far the last output sees.

    Columns: name, mix (four squares), parameters_m (millions), macs (billions), kept (MB per image,
    float32), window (px).
    """
    rows = []
    for name in names:
        with torch.device("meta"):
            net = mix_network(name)
        row = {"name": name, "mix": symbols(name), **counts(net)}
        rows.append({**row, "kept": kept_mb(net), "window": window_sides(net)[-1]})
    return pd.DataFrame(rows)


def mix_speeds(records: Sequence[Record]) -> pd.DataFrame:
    """The mixes that were timed, in the order of `MIXES`; ratios to Bottlenecks in all stages.

    Where all sixteen were timed in inference, that comparison counts there. Columns: name, mix
    (four squares), then those of `by_phase`.
    """
    few, every = mix_experiment().speeds(records), EVERY_MIX.speeds(records)
    if len(every):
        few = pd.concat([every, few[few["phase"] == "training"]])
    wide = by_phase(few)
    timed = [name for name in MIXES if name in wide.index]
    wide = wide.loc[timed].rename_axis("name").reset_index()
    return wide.assign(mix=wide["name"].map(symbols))


def beside_the_paper(records: Sequence[Record]) -> pd.DataFrame:
    """Inference on table 4's second and third rung, and the step between that it does not show.

    The third rung changes two things: depths 3, 4, 6, 3 become 3, 4, 11, 3, and half the stages
    change their block type. Columns: those of `Experiment.speeds` (ratios to the second rung),
    network (four squares) and depths.
    """
    names = [BEFORE, ALL_BOTTLENECK, PAPERS_CHOICE]
    table = mix_experiment(base=BEFORE).speeds(r for r in records if r.phase == "inference")
    table = table.set_index("model").loc[names].reset_index()
    with torch.device("meta"):
        depths = [", ".join(map(str, mix_network(name).config.depths)) for name in names]
    return table.assign(network=table["name"], depths=depths)


# --- table 2


def table_2() -> pd.DataFrame:
    """Table 2 rebuilt from the three models; what the paper prints instead stands in brackets.

    Columns: layer, block_type, output, stride, then repeats and channels of each variant
    ("m_repeats", …).
    """
    same_for_all = TABLE_2_COLUMNS[:3]  # in the table and here
    columns: dict[str, dict[int, str]] = {name: {} for name in ("layer", *same_for_all)}
    for name, short in LETTERS.items():
        for cell in beside_table_2(name).itertuples():
            column = cell.column if cell.column in same_for_all else f"{short}_{cell.column}"
            text = cell.ours if cell.ours == cell.paper else f"{cell.ours} ({cell.paper})"
            columns.setdefault(column, {})[cell.row] = text
            columns["layer"][cell.row] = cell.layer.partition(",")[0]
    return pd.DataFrame(columns)


def parameter_readings() -> pd.DataFrame:
    """Parameters (millions) of the three models, read and counted in four ways, beside Table 2's.

    Columns: reading, then for each of M, L and XL its parameters ("m_parameters", …) and their
    relative distance from Table 2's ("m_off", …).
    """
    printed = {
        short: float(paper_value(2, "params_m", model=NAMES[name], layer="#Params."))
        for name, short in LETTERS.items()
    }
    rows: list[dict[str, object]] = []
    for source, classes in product(("code", "text"), (1000, 0)):
        row = {"reading": f"as the {source} has it" + ("" if classes else ", no classifier")}
        for name, short in LETTERS.items():
            config = variant(name) if source == "code" else paper_reading(name)
            with torch.device("meta"):
                millions = count_parameters(TResNet(config, classes)) / 1e6
            row[f"{short}_parameters"] = millions
            row[f"{short}_off"] = millions / printed[short] - 1
        rows.append(row)
    last = {"reading": "Table 2"} | {f"{short}_parameters": m for short, m in printed.items()}
    return pd.DataFrame([*rows, last])
