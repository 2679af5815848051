"""What the chapter on block types shows, checked against independent references."""

import math
from dataclasses import replace

import pandas as pd
import pytest
import timm
import torch
from helpers import images, reseed
from torch import nn

from tresnet_lite import TResNet, TResNetConfig, ablation_ladder, create_model
from tresnet_lite.bench import Timing, roofline
from tresnet_lite.bench.roofline import Roofline
from tresnet_lite.claims.ledger import load_claims
from tresnet_lite.counting import count_macs, count_parameters, variants
from tresnet_lite.counting.kept import kept_for_backward
from tresnet_lite.counting.traffic import bytes_moved
from tresnet_lite.experiments import blocks
from tresnet_lite.experiments.table2 import beside_table_2, specification
from tresnet_lite.layers import SqueezeExcite
from tresnet_lite.model import BLOCKS, STAGES, ConvNormAct
from tresnet_lite.paper import paper_table, paper_value
from tresnet_lite.profiles import PROFILES
from tresnet_lite.records import Conditions, Record, Spread, collect
from tresnet_lite.show import blocks as drawings

KINDS = tuple(BLOCKS)
WAITING = ("norms", "activations", "sum")  # steps that memory limits
SMOKE = PROFILES["smoke"]


@pytest.fixture(scope="module")
def sizes() -> pd.DataFrame:
    return blocks.block_sizes().set_index(["stage", "block"])


@pytest.mark.parametrize(("kind", "weights", "maps"), [("basic", 18, 15), ("bottleneck", 17, 48)])
def test_weights_and_traffic_in_closed_form(sizes, kind, weights, maps):
    """18P² and 17P² weights besides the norms', 15 and 48 maps of P channels besides these."""
    for stage in STAGES:
        planes, side = 64 * 2 ** (stage - 1), 56 // 2 ** (stage - 1)
        row = sizes.loc[stage, kind]
        norms = 2 * planes * (2 if kind == "basic" else 1 + 1 + 4)
        assert row.parameters == weights * planes**2 + norms
        assert row.macs_m * 1e6 == weights * planes**2 * side**2
        # A norm reads its statistics besides its parameters. A batch of 32 reads them once.
        read_once = weights * planes**2 + 2 * norms
        moved = 4 * (32 * maps * planes * side**2 + read_once)
        assert row.moved_mb * 1e6 * 32 == pytest.approx(moved, rel=1e-12)


def test_the_least_times_of_blocks_in_closed_form():
    """A V100 by its data sheet: as a whole a block waits for its FLOP or for its bytes; step by
    step its norms, activations and sum wait for their bytes besides.
    """
    table = blocks.block_times(batch=32).set_index(["stage", "block"])
    for stage in STAGES:
        planes, side = 64 * 2 ** (stage - 1), 56 // 2 ** (stage - 1)
        a_map = 2 * planes * side**2 / 900e9 * 1e6  # µs to move one in float16
        for kind, weights, maps in (("basic", 18, 15), ("bottleneck", 17, 48)):
            row = table.loc[stage, kind]
            arithmetic = 2 * weights * planes**2 * side**2 / 125e12 * 1e6
            assert row.block_time == pytest.approx(max(arithmetic, maps * a_map), rel=0.05)
            steps = blocks.step_times(kind, stage)
            assert row.step_time == pytest.approx(sum(steps.values()))
            assert row.step_time > 1.04 * row.block_time
        # two norms and two activations of 2 maps each, and a sum of 3
        waiting = sum(blocks.step_times("basic", stage)[part] for part in WAITING)
        assert waiting == pytest.approx(11 * a_map, rel=0.01)
    assert table["block_ratio"].round(2).tolist()[1::2] == [0.31, 0.34, 0.68, 1.06]
    assert table["step_ratio"].round(2).tolist()[1::2] == [0.38, 0.51, 0.66, 0.78]


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_keeps_what_its_operators_need_by_hand(sizes, kind):
    """In maps of P channels: input, what each convolution gives, what each activation gives.

    BasicBlock: 1 + (1 + 1) + (1 + 1). Bottleneck: 4 + (1 + 1) + (1 + 1) + (4 + 4).
    """
    maps = {"basic": 5, "bottleneck": 16}[kind]
    for stage in STAGES:
        one_map = 4 * 64 * 2 ** (stage - 1) * (56 // 2 ** (stage - 1)) ** 2
        assert sizes.loc[stage, kind].kept * 1e6 == pytest.approx(maps * one_map, rel=1e-12)


def test_timm_has_as_many_parameters_in_a_block():
    """timm's ResNet34 is all BasicBlocks and its ResNet50 all Bottlenecks, at the same widths."""
    with torch.device("meta"):
        theirs = {
            "basic": timm.create_model("resnet34"),
            "bottleneck": timm.create_model("resnet50"),
        }
        for kind, net in theirs.items():
            for stage in STAGES:
                ours = count_parameters(blocks.block(kind, stage))
                assert ours == count_parameters(net.get_submodule(f"layer{stage}")[-1])


@pytest.mark.parametrize(
    ("kinds", "stages"), [(("basic", "bottleneck"), 2), (("bottleneck", "basic"), 2)]
)
def test_windows_are_where_the_gradient_is(kinds, stages):
    """With positive weights the gradient of one output reaches every pixel of its window, and no
    other.
    """
    config = TResNetConfig(
        **{
            key: getattr(blocks.rung(), key)
            for key in ("norm", "activation", "antialias", "shortcut")
        },
        depths=(1, 2, 1, 1),
        width=4,
        blocks=(*kinds, "basic", "basic"),
        se=(False,) * 4,
    )
    net = reseed(TResNet(config)).double().eval()
    for parameter in net.parameters():
        nn.init.uniform_(parameter, 0.5, 1.0)
    for name, buffer in net.named_buffers():
        buffer.fill_(1.0 if name.endswith("running_var") else 0.0)
    image = images(1, 3, 160, 160, dtype=torch.float64).requires_grad_()
    features = net.body[: 2 + stages](image)
    features[0, 0, features.shape[2] // 2, features.shape[3] // 2].backward()
    for axis in (2, 3):
        reached = image.grad.abs().amax(dim=[d for d in range(4) if d != axis]).nonzero().flatten()
        place = sum(config.depths[:stages])
        assert len(reached) == reached[-1] - reached[0] + 1 == blocks.window_sides(net)[place]


def test_windows_grow_by_what_the_table_says(sizes):
    with torch.device("meta"):
        for name in (blocks.ALL_BASIC, blocks.ALL_BOTTLENECK):
            net = blocks.mix_network(name)
            sides = blocks.window_sides(net)
            assert sides[0] == 12 and len(sides) == 1 + sum(net.config.depths)
            # The last block of stage 1 is like any inside it.
            assert sides[3] - sides[2] == sizes.loc[1, name.split("-")[0]].window


def test_sixteen_mixes_and_the_papers_is_table_4s_rung():
    assert len(set(blocks.MIXES)) == 16 and set(blocks.CORNERS) < set(blocks.MIXES)
    ladder = ablation_ladder()
    with torch.device("meta"):
        assert blocks.mix_network(blocks.PAPERS_CHOICE).config == ladder["+ Block-type selection"]
        assert blocks.mix_network(blocks.BEFORE).config == ladder["+ Stem → SpaceToDepth"]
    printed = paper_table(2).query("model == 'TResNet-M' and layer.str.startswith('Stage')")[
        "block_type"
    ]
    types = [
        {"BasicBlock": "basic", "Bottleneck": "bottleneck"}[name.removesuffix("+SE")]
        for name in printed
    ]
    assert "-".join(types) == blocks.PAPERS_CHOICE


def test_the_table_of_mixes():
    names = (blocks.PAPERS_CHOICE, variants.REVERSED)
    table = blocks.mix_sizes(names).set_index("name")
    assert table["mix"].tolist() == ["■■□□", "□□■■"]
    for name in names:
        with torch.device("meta"):
            net = blocks.mix_network(name)
            few, many = (
                sum(k.bytes for k in kept_for_backward(net.train(), torch.zeros(n, 3, 224, 224)))
                for n in (1, 3)
            )
        row = table.loc[name]
        assert (row.parameters_m * 1e6, row.macs * 1e9) == pytest.approx(
            (count_parameters(net), count_macs(net))
        )
        assert row.kept * 1e6 == (many - few) / 2  # norms' statistics are kept once for a batch


def test_networks_share_parts_and_are_whole():
    """Shared or not, a network has its own shapes, real weights, and gives finite numbers."""
    names = (blocks.ALL_BASIC, blocks.PAPERS_CHOICE, blocks.BEFORE)
    built = variants.mix_networks(names)
    first, paper, before = built.values()
    assert first.body.layer2 is paper.body.layer2 and first.body.layer3 is not paper.body.layer3
    assert paper.body.layer3 is not before.body.layer3 and paper.head is before.head
    for name, net in built.items():
        with torch.device("meta"):
            alone = blocks.mix_network(name)
        assert {k: v.shape for k, v in net.state_dict().items()} == {
            k: v.shape for k, v in alone.state_dict().items()
        }
        with torch.no_grad():
            assert net.eval()(images(1, 3, 32, 32)).isfinite().all()


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """Planted records: a BasicBlock twice as fast, and networks at known speeds."""

    def plant(case: str, model: str, phase: str, speed: float, resolution: int = 64) -> Record:
        value = Spread(speed, 0.9 * speed, 1.2 * speed, 5)
        ran = Conditions(2, resolution)
        return Record("blocks", case, model, phase, "throughput", value, ran, collect())

    found = []
    for phase in ("inference", "training"):
        for stage in STAGES:
            found += [
                plant(f"stage {stage}", k, phase, s)
                for k, s in (("basic", 20.0), ("bottleneck", 10.0))
            ]
    found += [plant("every mix", name, "inference", 40.0) for name in blocks.MIXES]
    found += [plant("mixes", name, "inference", 40.0) for name in blocks.CORNERS]
    found += [plant("mixes", name, "training", 10.0) for name in blocks.CORNERS]
    return [*found, plant("mixes", blocks.BEFORE, "inference", 50.0)]


def test_speeds_of_blocks(records):
    table = blocks.block_speeds(records).set_index(["stage", "block"])
    assert len(table) == 8
    assert tuple(
        table.loc[(3, "bottleneck"), ["inference", "inference_ratio", "training_ratio"]]
    ) == (10.0, 0.5, 0.5)


def test_blocks_under_the_roofline(records):
    table = blocks.achieved(records, SMOKE).set_index(["stage", "block"])
    block = blocks.block("basic", 2)
    x = blocks.block_input("basic", 2, SMOKE.image_size, SMOKE.batch)
    flop = 2 * (2 * 9 * 128**2) * 8 * 8  # an image of 64 px is 8×8 there
    row = table.loc[(2, "basic")]
    assert (row.flops, row.q1, row.q3) == pytest.approx((20 * flop, 18 * flop, 24 * flop))
    assert row.intensity == pytest.approx(flop * SMOKE.batch / bytes_moved(block, x), rel=1e-3)


def test_speeds_of_mixes(records):
    table = blocks.mix_speeds(records).set_index("name")
    assert len(table) == 16 and table["inference_ratio"].tolist() == pytest.approx([1.0] * 16)
    assert table["training"].notna().sum() == len(blocks.CORNERS)


def test_the_rung_beside_the_paper(records):
    table = blocks.beside_the_paper(records)
    before = paper_value(4, "inference_img_s", refinement="+ Stem → SpaceToDepth")
    after = paper_value(4, "inference_img_s", refinement="+ Block-type selection")
    assert table["network"].tolist() == ["□□□□", "□□□□", "■■□□"]
    assert table["depths"].tolist() == ["3, 4, 6, 3", "3, 4, 11, 3", "3, 4, 11, 3"]
    assert table["ratio"].tolist() == pytest.approx([1.0, 0.8, 0.8])
    assert table["paper_ratio"].iloc[2] == after / before and math.isnan(table["paper"].iloc[1])


def test_single_blocks_are_measured(monkeypatch):
    """Every block in both phases, at the conditions of the profile, and the ceilings with them."""
    for sizes_of, small in (
        (roofline.COPIED, 64),
        (roofline.MULTIPLIED, 32),
        (roofline.CONVOLVED, (1, 4, 6)),
    ):
        monkeypatch.setitem(sizes_of, "cpu", small)
    monkeypatch.setattr(blocks, "measure_many", a_second_each)
    found = blocks.measure_blocks(replace(SMOKE, image_size=32))
    timed = [r for r in found if r.suite == "blocks"]
    assert len({(r.case, r.model, r.phase) for r in timed}) == len(timed) == 16
    # a batch a second
    assert {(r.conditions.resolution, r.value.median) for r in timed} == {(32, SMOKE.batch)}
    assert Roofline.from_records(found).bandwidth.median == 2 * 64 * 64 * 4


def a_second_each(functions, **_):
    """Runs each function once, and tells that it took a second."""
    return {
        name: Timing((1.0,) * 3, calls=bool(fn() is not None)) for name, fn in functions.items()
    }


def test_a_block_in_training_has_the_gradient_of_one_step():
    """Inside a network a block's input has a gradient; steps must not add up in it."""
    block, x = blocks.block("basic", 1), images(2, 64, 8, 8)
    step = blocks.block_training_step(block, x, "float32")
    step()
    once = block.conv1.conv.weight.grad.clone()
    step()
    assert torch.equal(block.conv1.conv.weight.grad, once) and once.abs().sum() > 0


@pytest.mark.parametrize("name", blocks.LETTERS)
def test_table_2_from_timms_model(name):
    """Depths and channels as timm's model of that name has them."""
    with torch.device("meta"):
        theirs, ours = timm.create_model(name), specification(create_model(name)).set_index("layer")
    for stage in STAGES:
        blocks = theirs.body.get_submodule(f"layer{stage}")
        row = ours.loc[f"Stage{stage}"]
        (info,) = (info for info in theirs.feature_info if info["module"] == f"body.layer{stage}")
        assert row.repeats == len(blocks) and row.channels == info["num_chs"]
        assert row.block_type.removesuffix("+SE") == type(blocks[0]).__name__
        assert row.output == f"{56 // 2 ** (stage - 1)}×{56 // 2 ** (stage - 1)}"
        assert row.block_type.endswith("+SE") == (blocks[0].se is not None)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("tresnet_m", {"Stem, Conv1x1"}),
        ("tresnet_l", {"Stem, Conv1x1"}),
        ("tresnet_xl", {"Stem, Conv1x1", "Stage1", "Stage2", "Stage3", "Stage4", "Pooling"}),
    ],
)
def test_where_table_2_disagrees(name, other):
    cells = beside_table_2(name)
    assert set(cells[cells["paper"] != cells["ours"]]["layer"]) == other
    printed = paper_table(2).query(
        "model == @name.upper().replace('TRESNET_', 'TResNet-') and layer != '#Params.'"
    )
    assert (
        len(cells)
        == printed[["block_type", "output", "stride", "repeats", "channels"]].notna().sum().sum()
    )


def test_table_2_in_the_papers_layout():
    table = blocks.table_2().set_index("layer")
    assert table.loc["Stage3", ["m_channels", "l_channels", "xl_channels"]].tolist() == [
        "1024",
        "1216",
        "1328 (1344)",
    ]
    assert table["xl_repeats"].tolist() == ["1", "1", "4", "5", "24", "3", "1"]


def test_readings_of_the_parameters():
    table = blocks.parameter_readings().set_index("reading")
    printed = table.loc["Table 2"]
    assert printed[["m_parameters", "l_parameters", "xl_parameters"]].tolist() == [29.4, 54.7, 77.1]
    assert table.loc["as the code has it", "m_parameters"] * 1e6 == pytest.approx(31_389_032)
    off = table.drop("Table 2")[["m_off", "l_off", "xl_off"]].abs()
    assert (off.max(axis=1) > 0.01).all()  # no reading is within 1 % of all three


@pytest.mark.parametrize(
    ("claim", "word"),
    [
        ("blocks-bottleneck-keeps-more", "reproduced"),
        ("blocks-basic-sees-further", "reproduced"),
        ("blocks-bottleneck-inference", "not attempted"),  # 64 px is too small to judge a speed by
        ("blocks-speed-inference-up", "not attempted"),
        ("blocks-mixture-best", "not attempted"),
        ("table2-stages-m", "reproduced"),
        ("table2-stages-xl", "differs"),
        ("table2-third-stage-m", "reproduced"),
        ("table2-third-stage-l", "differs"),
        ("table2-size-only", "reproduced"),
    ],
)
def test_verdicts(records, claim, word):
    (verdict,) = next(c for c in load_claims() if c.id == claim).verdicts(records)
    assert verdict.word == word and verdict.why


def test_the_figures_say_what_they_show(records):
    """Their descriptions name every block and mix, with the numbers of the tables."""
    points = blocks.achieved(records, SMOKE)
    roof = Roofline(Spread(1e10, 1e10, 1e10, 3), Spread(1e12, 1e12, 1e12, 3))
    text = drawings.roofline(points, roof, "batch 2, float32").text
    assert "10 GB/s and 1 TFLOP/s" in text and text.count("of stage") == 8
    assert "(batch 2, float32)" in text
    mixes = blocks.mix_speeds(records).assign(parameters_m=range(16))
    assert all(f"{name}: " in drawings.mixes(mixes).text for name in blocks.MIXES)
    with torch.device("meta"):
        named = {kind: blocks.block(kind, 3, TResNetConfig()) for kind in KINDS}
    text = drawings.residual_blocks(named).text
    assert (
        text.count("conv 3×3, 256") == 3
        and text.count("SE through") == 2
        and "conv 1×1, 1024" in text
    )
    assert "20 pixels" in drawings.windows({"a": [4, 8, 20, 30, 40]}, (1, 1, 1, 1)).text


class SEFirst(nn.Module):
    """A residual block of ours but for the place of SE, and the activation after the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.se = SqueezeExcite(8, 2)
        self.conv1 = ConvNormAct(8, 8, 3, norm="bn", activation="relu", slope=0)
        self.conv2 = ConvNormAct(8, 8, 1, norm="bn", activation="identity", slope=0)
        self.act = nn.LeakyReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.conv2(self.conv1(self.se(x))) + x)


def test_the_steps_of_a_block_are_drawn_where_they_run():
    assert drawings.residual_blocks({"a": SEFirst()}).text == (
        "The steps of a a from top to bottom. a, 8 channels: SE through 2, conv 3×3, 8 norm,"
        " activation, conv 1×1, 8 norm, plus the block's input, then leaky ReLU."
    )
