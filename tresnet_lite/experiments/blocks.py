"""Block types (§2.1): BasicBlock and Bottleneck alone at each stage's shape, and every mix of them
over four stages.

All are as on table 4's third rung, with BatchNorm and ReLU, without SE and blurs, so that the block
type alone differs. A mix is named after its four types, for example
"basic-basic-bottleneck-bottleneck"; so are its records.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product

import pandas as pd
import torch
from torch import nn

from tresnet_lite.ablation import ablation_ladder
from tresnet_lite.bench import inference_step, measure_many, training_step
from tresnet_lite.bench.roofline import ceiling_records, ceiling_work
from tresnet_lite.counting import count_macs, count_parameters, receptive_field
from tresnet_lite.counting.kept import kept_for_backward
from tresnet_lite.counting.traffic import bytes_moved, intensity
from tresnet_lite.experiments.table2 import COLUMNS, beside_table_2
from tresnet_lite.findings.speeds import model_speeds
from tresnet_lite.model import BLOCKS, STAGES, TResNet, TResNetConfig, create_model, paper_reading
from tresnet_lite.paper import NAMES, paper_value
from tresnet_lite.profiles import DTYPES, Profile
from tresnet_lite.records import Conditions, Record, collect

SUITE = "blocks"
LABELS = {"basic": "BasicBlock", "bottleneck": "Bottleneck"}
SYMBOLS = {"basic": "■", "bottleneck": "□"}
RUNGS = ("+ Stem → SpaceToDepth", "+ Block-type selection")  # table 4, before and after
BEFORE = "bottlenecks-3-4-6-3"  # the rung before, as records name it
ALL_BASIC, PAPERS_CHOICE, ALL_BOTTLENECK = (
    "-".join(types)
    for types in (
        ("basic",) * 4,
        ("basic", "basic", "bottleneck", "bottleneck"),
        ("bottleneck",) * 4,
    )
)
REVERSED = "bottleneck-bottleneck-basic-basic"
CORNERS = (ALL_BASIC, PAPERS_CHOICE, REVERSED, ALL_BOTTLENECK)
VARIANTS = ("tresnet_m", "tresnet_l", "tresnet_xl")  # of table 2
MIXES = tuple("-".join(types) for types in product(BLOCKS, repeat=len(STAGES)))


def rung(label: str = RUNGS[1]) -> TResNetConfig:
    """A rung of table 4."""
    return ablation_ladder()[label]


def network(name: str, width: int = 64) -> TResNet:
    """The network with a mix of block types at the paper's depths, or that of the rung before: →
    (B, 1000).
    """
    config = rung(RUNGS[0]) if name == BEFORE else replace(rung(), blocks=tuple(name.split("-")))
    return TResNet(replace(config, width=width))


def networks(names: Iterable[str], width: int = 64) -> dict[str, TResNet]:
    """The named networks, to be timed: parts of one shape are one module in all of them.

    Sixteen separate ones would fill 2 GB. Time them one phase after the other, as a shared part is
    in training mode, or in evaluation mode, for all. Weights are torch's default ones.
    """
    shared: dict[tuple, nn.Module] = {}
    built = {}
    for name in names:
        with torch.device("meta"):
            net = built[name] = network(name, width)
        for parent, part in (
            (net.body, "conv1"),
            *((net.body, f"layer{i}") for i in STAGES),
            (net, "head"),
        ):
            module = parent.get_submodule(part)
            shape = (part, *((key, tensor.shape) for key, tensor in module.state_dict().items()))
            if shape not in shared:
                shared[shape] = _materialise(module)
            setattr(parent, part, shared[shape])
    return built


def _materialise(module: nn.Module) -> nn.Module:
    module.to_empty(device="cpu")
    for layer in module.modules():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    return module


def symbols(name: str) -> str:
    """A mix in four squares, stage 1 first: ■ BasicBlock, □ Bottleneck."""
    return "".join(SYMBOLS[block] for block in name.split("-"))


def block(kind: str, stage: int, config: TResNetConfig | None = None) -> nn.Module:
    """A block from inside a stage: (B, C, H, W) → (B, C, H, W), C being the stage's width times the
    expansion.
    """
    config = config or rung()
    planes = config.width * 2 ** (stage - 1)
    return BLOCKS[kind](planes * BLOCKS[kind].expansion, planes, 1, config.se[stage - 1], config)


def block_input(kind: str, stage: int, image_size: int, batch: int) -> torch.Tensor:
    """Random numbers of the shape that a block of this kind meets in this stage."""
    side = image_size // 2 ** (stage + 1)
    return torch.rand(batch, rung().width * 2 ** (stage - 1) * BLOCKS[kind].expansion, side, side)


def sizes(image_size: int = 224, batch: int = 32) -> pd.DataFrame:
    """What one block asks for, by stage and type, in float32.

    Columns: stage, block, name, shape, parameters, macs_m (millions), moved_mb (MB an image that
    the operators of an evaluation read and write), intensity (FLOP for each of these bytes), kept
    (MB an image for backward), window (pixels of the image by which the block widens what an output
    sees). The batch matters to moved_mb and intensity: weights are read once for all of it.
    """

    rows = []
    for stage, kind in product(STAGES, BLOCKS):
        with torch.device("meta"):  # nothing is computed
            one, x = block(kind, stage), block_input(kind, stage, image_size, batch)
        row = {
            "stage": stage,
            "block": kind,
            "name": LABELS[kind],
            "shape": "×".join(map(str, x.shape[1:])),
        }
        row |= {
            "parameters": count_parameters(one),
            "macs_m": count_macs(one, tuple(x.shape[1:])) / 1e6,
        }
        row |= {"moved_mb": bytes_moved(one, x) / batch / 1e6, "intensity": intensity(one, x)}
        row |= {"kept": kept(one, x) / batch / 1e6, "window": window_growth(one) * 2 ** (stage + 1)}
        rows.append(row)
    return pd.DataFrame(rows)


def kept(model: nn.Module, x: torch.Tensor) -> int:
    """Bytes that a training forward keeps for backward."""
    return sum(tensor.bytes for tensor in kept_for_backward(model.train(), x))


def main_path(block: nn.Module) -> list[nn.Module]:
    """A block's convolution units in their order, the shortcut left out."""
    return [unit for name, unit in block.named_children() if name.startswith("conv")]


def window_growth(block: nn.Module) -> int:
    """Pixels, of the block's own input, by which an output's window is wider than one."""
    return receptive_field(unit for unit in main_path(block)).size - 1


def windows(network: TResNet) -> list[int]:
    """Side in pixels of what one output sees: after the stem, and after each block, stage by
    stage.
    """
    chain: list[nn.Module] = []
    sides = []
    for name, part in network.body.named_children():
        stage = name.startswith("layer")
        for step in part if stage else [part]:
            chain += main_path(step) if stage else [step]
            if stage:
                sides.append(receptive_field(chain).size)
            else:
                sides = [receptive_field(chain).size]  # the stem counts once, at its end
    return sides


def mix_sizes(names: Iterable[str] = MIXES) -> pd.DataFrame:
    """Mixes at 224 px, all sixteen by default: what they have, compute and keep, and how far the
    last output sees.

    Columns: name, mix (four squares), parameters_m (M), macs (G), kept (MB an image, float32),
    window (px).
    """

    rows = []
    for name in names:
        with torch.device("meta"):
            net, image = network(name), torch.zeros(1, 3, 224, 224)
        row = {"name": name, "mix": symbols(name), "parameters_m": count_parameters(net) / 1e6}
        row |= {
            "macs": count_macs(net) / 1e9,
            "kept": kept(net, image) / 1e6,
            "window": windows(net)[-1],
        }
        rows.append(row)
    return pd.DataFrame(rows)


def measure_blocks(settings: Profile) -> list[Record]:
    """Images a second of single blocks, both types at each stage's shape, in inference and in
    training.

    Records of case "stage 1" to "stage 4", model "basic" or "bottleneck", and the device's ceilings
    (suite "roofline"), which are timed together with the inference, so that a drift of the machine
    falls on all alike.
    """
    steps: dict[str, dict] = {"inference": {}, "training": {}}
    for stage, kind in product(STAGES, BLOCKS):
        x = block_input(kind, stage, settings.image_size, settings.batch).to(settings.device)
        steps["inference"][stage, kind] = inference_step(
            _on(settings, kind, stage), x, dtype=settings.dtype
        )
        steps["training"][stage, kind] = _training_step(
            _on(settings, kind, stage), x, settings.dtype
        )
    ceilings = ceiling_work(settings.device, settings.dtype)
    steps["inference"] |= {name: work.run for name, work in ceilings.items()}
    ran = Conditions(settings.batch, settings.image_size, settings.dtype)
    options = {"min_block": settings.min_block, "min_repeats": settings.repeats}
    options["max_seconds"] = settings.max_seconds / 4  # there are many to time
    records = []
    for phase, functions in steps.items():
        timings = measure_many(functions, device=settings.device, **options)
        provenance = collect(settings.device)
        for stage, kind in product(STAGES, BLOCKS):
            speed = timings[stage, kind].rate(settings.batch)
            records.append(
                Record(SUITE, f"stage {stage}", kind, phase, "throughput", speed, ran, provenance)
            )
        if phase == "inference":
            records += ceiling_records(ceilings, timings, settings.device)
    return records


def _on(settings: Profile, kind: str, stage: int) -> nn.Module:
    return block(kind, stage).to(settings.device)


def _training_step(block: nn.Module, x: torch.Tensor, dtype: str):
    x = x.clone().requires_grad_()  # inside a network the block before needs a gradient

    def loss(output: torch.Tensor) -> torch.Tensor:
        x.grad = None  # else every step would add to the last one's
        return output.float().mean()

    return training_step(block, x, dtype=dtype, loss=loss)


def block_speeds(records: Sequence[Record]) -> pd.DataFrame:
    """Single blocks in images a second, and each as a ratio to the BasicBlock of its stage.

    Columns: stage, block, name, inference, inference_ratio, training, training_ratio.
    """

    rows = []
    for stage in STAGES:
        measured = model_speeds(
            records, suite=SUITE, case=f"stage {stage}", base="basic"
        ).set_index("model")
        for kind in BLOCKS:
            row = {"stage": stage, "block": kind, "name": LABELS[kind]}
            for phase, speed in measured.loc[[kind]].set_index("phase").iterrows():
                row |= {phase: speed["measured"], f"{phase}_ratio": speed["ratio"]}
            rows.append(row)
    return pd.DataFrame(rows)


def achieved(records: Sequence[Record], settings: Profile) -> pd.DataFrame:
    """Where each block stands under the roofline, in inference: its intensity and the arithmetic
    that it reached.

    Columns: stage, block, name, intensity (FLOP/byte), flops, q1, q3 (FLOP/s).
    """

    rows = []
    for stage, kind in product(STAGES, BLOCKS):
        with torch.device("meta"):
            one = block(kind, stage).to(DTYPES[settings.dtype])
            x = block_input(kind, stage, settings.image_size, settings.batch).to(
                DTYPES[settings.dtype]
            )
        flops = 2 * count_macs(one, tuple(x.shape[1:]))  # an image
        value = next(
            r.value
            for r in records
            if (r.case, r.model, r.phase) == (f"stage {stage}", kind, "inference")
        )
        row = {"stage": stage, "block": kind, "name": LABELS[kind], "intensity": intensity(one, x)}
        rows.append(
            row | {"flops": flops * value.median, "q1": flops * value.q1, "q3": flops * value.q3}
        )
    return pd.DataFrame(rows)


def mix_speeds(records: Sequence[Record]) -> pd.DataFrame:
    """The mixes that were timed, in the order of `MIXES`, and their ratios to Bottlenecks in all
    four stages.

    Columns: name, mix, and for each phase its name (img/s), …_ratio, …_q1, …_q3 (of the ratio) and
    …_quartiles (of the speed); a mix that was not timed in a phase has NaN there.
    """

    measured = model_speeds(records, suite=SUITE, case="mixes", base=ALL_BOTTLENECK).set_index(
        ["model", "phase"]
    )
    rows = []
    for name in (name for name in MIXES if name in measured.index.get_level_values("model")):
        row = {"name": name, "mix": symbols(name)}
        for phase, speed in measured.loc[name].iterrows():
            row |= {
                phase: speed["measured"],
                f"{phase}_ratio": speed["ratio"],
                f"{phase}_quartiles": _quartiles(speed),
            }
            row |= {f"{phase}_q1": speed["ratio_q1"], f"{phase}_q3": speed["ratio_q3"]}
        rows.append(row)
    return pd.DataFrame(rows)


def _quartiles(speed: pd.Series) -> tuple[float, float]:
    return speed["q1"], speed["q3"]


def beside_the_paper(records: Sequence[Record]) -> pd.DataFrame:
    """Inference on table 4's second and third rung, and between them the step that the table does
    not show.

    The third rung changes two things: depths 3, 4, 6, 3 become 3, 4, 11, 3, and half the stages
    change their block type. Columns: network, depths, paper, measured (img/s), quartiles,
    paper_ratio, ratio (to the second rung).
    """

    inference = [r for r in records if r.phase == "inference"]
    measured = model_speeds(inference, suite=SUITE, case="mixes", base=BEFORE).set_index("model")
    before, after = (float(paper_value(4, "inference_img_s", refinement=label)) for label in RUNGS)
    printed = {BEFORE: before, PAPERS_CHOICE: after}
    rows = []
    for name in (BEFORE, ALL_BOTTLENECK, PAPERS_CHOICE):
        speed, paper = measured.loc[name], printed.get(name, float("nan"))
        with torch.device("meta"):
            config = network(name).config
        row = {
            "network": symbols("-".join(config.blocks)),
            "depths": ", ".join(map(str, config.depths)),
        }
        row |= {
            "paper": paper,
            "paper_ratio": paper / before,
            "measured": speed["measured"],
            "ratio": speed["ratio"],
        }
        rows.append(row | {"quartiles": _quartiles(speed)})
    return pd.DataFrame(rows)


def table_2() -> pd.DataFrame:
    """Table 2 rebuilt from the three models; what the paper prints instead stands in brackets.

    Columns: layer, block_type, output, stride, then repeats and channels of each variant
    ("m_repeats", …).
    """

    columns: dict[str, dict[int, str]] = {name: {} for name in ("layer", *COLUMNS[:3])}
    for name in VARIANTS:
        for cell in beside_table_2(name).itertuples():
            shared = cell.column in COLUMNS[:3]  # the same for the three, in the table and here
            column = cell.column if shared else f"{name.removeprefix('tresnet_')}_{cell.column}"
            text = cell.ours if cell.ours == cell.paper else f"{cell.ours} ({cell.paper})"
            columns.setdefault(column, {})[cell.row] = text
            columns["layer"][cell.row] = cell.layer.partition(",")[0]
    return pd.DataFrame(columns)


def parameter_readings() -> pd.DataFrame:
    """Parameters (millions) of the three models, read and counted in four ways, and how far each is
    from Table 2.

    Columns: reading, then for each of M, L and XL its parameters ("m_parameters", …) and
    relative distance ("m_off", …).
    """

    builders = {
        "code": create_model,
        "text": lambda name, **head: TResNet(paper_reading(name), **head),
    }
    rows = []
    for (source, build), classes in product(builders.items(), (1000, 0)):
        row: dict[str, object] = {
            "reading": f"as the {source} has it" + ("" if classes else ", no classifier")
        }
        for name in VARIANTS:
            with torch.device("meta"):
                counted = count_parameters(build(name, num_classes=classes)) / 1e6
            short = name.removeprefix("tresnet_")
            row |= {
                f"{short}_parameters": counted,
                f"{short}_off": counted / printed_parameters(name) - 1,
            }
        rows.append(row)
    return pd.DataFrame(
        [
            *rows,
            {"reading": "Table 2"}
            | {f"{n.removeprefix('tresnet_')}_parameters": printed_parameters(n) for n in VARIANTS},
        ]
    )


def printed_parameters(name: str) -> float:
    """Millions, from Table 2."""
    return float(paper_value(2, "params_m", model=NAMES[name], layer="#Params."))
