"""What the chapter that assembles the network counts, against timm's network and closed forms."""

import re
from collections import Counter
from functools import partial
from math import prod

import pandas as pd
import pytest
import timm
import torch
from helpers import PROVENANCE
from legible import check_colours, check_letters
from torch import nn
from torchvision.models._meta import _IMAGENET_CATEGORIES as CATEGORIES

from tresnet_lite import create_model
from tresnet_lite.bench import suites
from tresnet_lite.counting.kept import kept_per_image
from tresnet_lite.counting.traffic import bytes_moved
from tresnet_lite.experiments import whole_network as whole
from tresnet_lite.profiles import Profile
from tresnet_lite.records import Conditions, Record, Spread
from tresnet_lite.show import whole_network as drawings

QUICK = Profile("smoke", "cpu", 64, 2, "float32", repeats=3, min_block=0.01, max_seconds=0.01)
BATCH = 32  # the default of what is counted
HALF = 2  # bytes of a number in float16


@pytest.fixture(scope="module")
def steps() -> pd.DataFrame:
    return whole.step_costs()


@pytest.fixture(scope="module")
def places() -> pd.DataFrame:
    return whole.place_costs()


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    with torch.device("meta"):
        return timm.create_model("tresnet_m").eval()


def place(path: str) -> str:
    """The place of a module of timm's, whose paths are ours."""
    names = path.split(".")
    if path.startswith("body.layer"):
        return f"stage {names[1][-1]}, block {int(names[2]) + 1}"
    return {"body": "stem", "head": "head"}[names[0]]


def calls_of(network: nn.Module) -> list[tuple[str, nn.Module, tuple[int, ...]]]:
    """Path, module and output shape of timm's convolutions, norms and classifier at 224 px."""
    seen = []

    def note(path: str, module: nn.Module, _: object, output: torch.Tensor) -> None:
        seen.append((path, module, tuple(output.shape[1:])))

    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
    hooks = [
        module.register_forward_hook(partial(note, path))
        for path, module in network.named_modules()
        if isinstance(module, kinds)
    ]
    with torch.no_grad():
        network(torch.empty(1, 3, 224, 224, device="meta"))
    for hook in hooks:
        hook.remove()
    return seen


def test_parameters_of_each_place_are_timms(places, theirs):
    counted: Counter[str] = Counter()
    for name, parameter in theirs.named_parameters():
        counted[place(name)] += parameter.numel()
    assert places["place"].tolist() == list(counted)
    ours = (places.set_index("place")["parameters_m"] * 1e6).round().astype(int).to_dict()
    assert ours == counted


def test_macs_of_each_place_are_those_of_timms_convolutions(places, theirs):
    """Weights times the pixels that they are used for; in the head, weights alone."""
    counted: Counter[str] = Counter()
    for path, module, shape in calls_of(theirs):
        if not isinstance(module, nn.BatchNorm2d):
            counted[place(path)] += module.weight.numel() * prod(shape[1:])
    ours = (places.set_index("place")["macs"] * 1e9).to_dict()
    assert ours == pytest.approx(counted, rel=1e-12)


def test_each_kind_has_the_macs_of_its_convolutions(steps, theirs):
    counted: Counter[str] = Counter()
    for path, module, shape in calls_of(theirs):
        if isinstance(module, nn.Conv2d):
            kind = "SE" if ".se." in path else "{}×{} convolutions".format(*module.kernel_size)
            counted[kind] += module.weight.numel() * prod(shape[1:])
    counted[whole.REST] = 2048 * 1000
    table = whole.kind_costs(steps).set_index("kind")
    computed = table["macs"][table["macs"] > 0] * 1e9
    assert computed.to_dict() == pytest.approx(counted, rel=1e-12)
    assert table["share"].sum() == pytest.approx(1)


def test_what_norms_and_sums_move_in_closed_form(steps, theirs):
    """A norm reads and writes its map, a leaky ReLU in place too; a sum reads two maps and writes
    one, and its ReLU reads and writes one.
    """
    norms, sums, channels = 0, 0, 0
    for path, module, shape in calls_of(theirs):
        last = path.endswith(("layer1.0.conv2.bn", "conv3.bn")) or (
            re.search(r"layer[12]\.\d+\.conv2\.bn$", path) is not None
        )
        if isinstance(module, nn.BatchNorm2d):
            activated = not last and "downsample" not in path
            norms += prod(shape) * (4 if activated else 2)
            channels += 4 * module.num_features  # weight, bias, mean and variance, read once
        if isinstance(module, nn.BatchNorm2d) and last:
            sums += 5 * prod(shape)
    moved = whole.kind_costs(steps).set_index("kind")["moved_mb"] * 1e6
    assert moved["sums, ReLUs"] == pytest.approx(HALF * sums, rel=1e-12)
    assert moved["norms, activations"] == pytest.approx(
        HALF * (norms + channels / BATCH), rel=1e-12
    )


def test_what_waits_for_memory_takes_its_bytes_over_the_bandwidth(steps):
    """900 GB/s, as a V100's data sheet has it."""
    waiting = steps[steps["kind"].isin(["norms, activations", "sums, ReLUs", "blurs"])]
    expected = waiting["moved_mb"] * 1e6 / 900e9 * 1e6
    assert waiting["least_time"].tolist() == pytest.approx(expected.tolist(), rel=1e-12)
    others = steps[steps["kind"] == "3×3 convolutions"]
    arithmetic = 2 * others["macs"] * 1e9 / 125e12 * 1e6
    assert (others["least_time"] >= arithmetic * (1 - 1e-12)).all()


def test_a_blur_pads_its_map_and_reads_it_again(steps):
    """From 56, 28 and 14 pixels to half of them, by a border of one pixel."""
    blurs = steps[steps["kind"] == "blurs"]
    assert blurs["place"].tolist() == [f"stage {n}, block 1" for n in (2, 3, 4)]
    shapes = zip(blurs["moved_mb"], (128, 256, 512), (56, 28, 14), strict=True)
    for moved, channels, side in shapes:
        pixels = side**2 + 2 * (side + 2) ** 2 + (side // 2) ** 2
        kernel = 9 / BATCH
        assert moved * 1e6 == pytest.approx(HALF * (channels * pixels + kernel), rel=1e-9)


@pytest.mark.parametrize(("size", "batch"), [(224, 32), (64, 2)])
def test_no_operation_is_lost(size, batch):
    with torch.device("meta"):
        network = create_model("tresnet_m").half()
        images = torch.empty(batch, 3, size, size, dtype=torch.float16)
    moved = whole.place_costs(size, batch)["moved_mb"].sum() * 1e6 * batch
    assert moved == pytest.approx(bytes_moved(network, images), rel=1e-12)


def test_a_small_batch_of_small_images_moves_weights():
    """All else equal, the bytes per image that a smaller batch adds are weights' alone."""
    many, few = (whole.place_costs(64, batch)["moved_mb"].sum() * 1e6 for batch in (64, 2))
    weights = few - many
    with torch.device("meta"):
        network = create_model("tresnet_m")
    # parameters, the norms' statistics and three blurs' filters, each read once per step
    buffers = [b for name, b in network.named_buffers() if name.endswith(("mean", "var", "kernel"))]
    numbers = sum(t.numel() for t in (*network.parameters(), *buffers))
    assert weights == pytest.approx(HALF * numbers * (1 / 2 - 1 / 64), rel=1e-9)


def test_kept_adds_up_to_the_network_s(places):
    expected = kept_per_image("tresnet_m", "float16")
    by_stage: Counter[str] = Counter()
    for (stage, _), size in expected.items():
        by_stage[stage.replace("layer", "stage ")] += size
    ours = (places.groupby("part")["kept"].sum() * 1e6).to_dict()
    # what a place keeps is rounded down to a byte
    assert ours == pytest.approx(by_stage, abs=len(places) + len(expected))


def test_a_block_of_stage_1_keeps_three_maps(places):
    """What its activated norm gives, what its last convolution gives, and its own output."""
    kept = places.set_index("place").loc["stage 1, block 2", "kept"] * 1e6
    assert kept == pytest.approx(HALF * 3 * 64 * 56**2, rel=2e-3)  # and a few numbers per channel


def test_blocks_that_are_alike_share_a_row(places):
    table = whole.block_costs(places)
    assert table["place"].tolist() == [
        "stem",
        "stage 1, blocks 1–3",
        "stage 2, block 1",
        "stage 2, blocks 2–4",
        "stage 3, block 1",
        "stage 3, blocks 2–11",
        "stage 4, block 1",
        "stage 4, blocks 2–3",
        "head",
    ]
    assert table["output"].tolist()[:3] == ["64×56×56", "64×56×56", "128×28×28"]
    columns = list(whole.COSTS)
    assert table[columns].sum().tolist() == pytest.approx(places[columns].sum().tolist())


def test_another_image_size_is_counted_at_that_size():
    """Convolutions follow the pixels; the classifier and SE's gates do not."""
    small, large = (whole.place_costs(size, 2) for size in (64, 128))
    ratio = (large["macs"] / small["macs"])[:-1]
    assert large["macs"].iloc[-1] == small["macs"].iloc[-1]
    assert ((ratio > 3.9) & (ratio <= 4)).all()


# Time


def times(part_seconds: dict[str, float], phase: str = "inference", **changes: str) -> list[Record]:
    what = {"suite": "micro", "case": "stages", "model": "tresnet_m"} | changes
    return [
        Record(
            **what,
            phase=phase,
            metric="time",
            value=Spread(seconds, seconds, seconds, 5),
            conditions=Conditions(32, 224),
            provenance=PROVENANCE,
            part=part,
        )
        for part, seconds in part_seconds.items()
    ]


def test_shares_of_counted_costs_and_of_whole_runs(places):
    seconds = {"stem": 1, "layer1": 2, "layer2": 3, "layer3": 3, "layer4": 0.5, "head": 0.5}
    lacking = times({"stem": 1.0, "head": 1.0}, "training")
    others = times(seconds, "training", model="Original ResNet50")
    table = whole.part_shares(
        places, [*times(seconds), *times(dict.fromkeys(seconds, 1.0)), *lacking, *others]
    ).set_index("name")
    assert table.index.tolist() == [
        *whole.COSTS.values(),
        "inference time, Imaginary GPU, 224 px",
    ]
    assert table.sum(axis=1).tolist() == pytest.approx([100] * len(table))
    assert table.iloc[-1].tolist() == pytest.approx([10, 20, 30, 30, 5, 5])
    with torch.device("meta"):
        theirs = timm.create_model("tresnet_m")
    head = sum(p.numel() for p in theirs.head.parameters())
    share = 100 * head / sum(p.numel() for p in theirs.parameters())
    assert table.loc["parameters", "share head"] == pytest.approx(share)


def test_a_run_times_each_part_in_both_phases(record_file):
    records = whole.measure_stages(QUICK)
    (point,) = (p for p in suites.points(QUICK) if (p.case, p.model) == (whole.CASE, whole.MODEL))
    assert {r.point for r in records} == {point.id}  # which a campaign need not measure again
    assert whole.measure_stages(QUICK) == records
    assert [(r.phase, r.part) for r in records] == [
        (phase, part) for phase in ("inference", "training") for part in whole.TIMED_PARTS
    ]
    ran = records[0].conditions
    assert (ran.batch, ran.resolution, ran.memory, ran.width) == (2, 64, "lean", None)
    shares = whole.part_shares(whole.place_costs(64, 2), records)
    assert len(shares) == len(whole.COSTS) + 2


# Published weights


class Fixed(nn.Module):
    """The same logits for each image, whatever it shows; in training, noise."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = torch.randn(1000) if self.training else self.logits
        return logits.expand(len(x), -1)


def test_the_likeliest_classes_have_imagenets_names():
    """timm's names begin with torchvision's, which has them from another source."""
    wanted = [281, 985, 0, 999, 487]
    logits = torch.full((1000,), -1e9)
    logits[wanted] = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05]).log()
    found = whole.top_classes(Fixed(logits), torch.zeros(2, 3, 8, 8))
    assert found[0] == found[1] and len(found) == 2
    names, probabilities = zip(*found[0], strict=True)
    assert probabilities == pytest.approx([0.4, 0.3, 0.15, 0.1, 0.05], rel=1e-5)
    for name, index in zip(names, wanted, strict=True):
        assert CATEGORIES[index].casefold() in name.casefold()


# Drawings


@pytest.mark.parametrize(
    ("stage", "shape", "channels", "given"),
    [("layer2", (64, 56, 56), 128, "128×28×28"), ("layer4", (1024, 14, 14), 2048, "2048×7×7")],
)
def test_a_shrinking_block_is_drawn_with_its_shortcut(stage, shape, channels, given):
    with torch.device("meta"):
        block = create_model("tresnet_m").body.get_submodule(stage)[0]
    drawn = drawings.shrinking_block(block, shape)
    check_colours(drawn.html)
    check_letters(drawn.html)
    halved = f"{shape[0]}×{shape[1] // 2}×{shape[2] // 2}"
    assert f"average 2×2, {halved}; conv 1×1, norm, {given}." in drawn.text
    assert drawn.text.count("blur") == 1 and f", {channels}, norm" in drawn.text
    assert ("; SE, through" in drawn.text) == (stage == "layer2")


def test_costs_by_block_are_drawn_for_every_block(steps, places):
    drawn = drawings.costs_by_block(steps, places)
    check_colours(drawn.html)
    check_letters(drawn.html)
    for row in places.itertuples():
        assert f"{row.place}: {row.least_time:.1f} µs, {row.kept:.2f} MB" in drawn.text
