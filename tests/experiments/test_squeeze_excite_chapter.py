"""What the chapter on squeeze-and-excitation shows, checked against independent references."""

import math
from dataclasses import replace

import nbformat
import numpy as np
import pytest
import timm
import torch
from helpers import images, reseed
from planted import in_processes
from sklearn.datasets import load_digits
from torch import nn

from tresnet_lite import TResNet, ablation_ladder, create_model
from tresnet_lite.bench.compare import compare, training_peaks
from tresnet_lite.checkout import ROOT
from tresnet_lite.claims.ledger import load_claims
from tresnet_lite.counting import count_parameters, variants
from tresnet_lite.counting.block_steps import block_steps
from tresnet_lite.experiments import gates, small_training
from tresnet_lite.experiments import squeeze_excite as se
from tresnet_lite.layers import SqueezeExcite
from tresnet_lite.paper import paper_value
from tresnet_lite.profiles import Profile
from tresnet_lite.records import Conditions, Record, Spread, collect
from tresnet_lite.show import squeeze_excite as drawings
from tresnet_lite.train import digits

QUICK = Profile("smoke", "cpu", 64, 2, "float32", repeats=3, min_block=0.01, max_seconds=0.01)


def record(
    model: str, speed: float, case: str = "stages", phase: str = "inference", size: int = 224
) -> Record:
    value = Spread(speed, speed * 0.999, speed * 1.001, 5)
    return Record("se", case, model, phase, "throughput", value, Conditions(2, size), collect())


# What is compared.


def test_the_networks_differ_in_the_stages_with_se_alone():
    """The first two are rungs of table 4; the parameters are those of timm's SE modules, counted
    one by one.
    """
    ladder = ablation_ladder()
    with torch.device("meta"):
        networks = variants.se_networks()
        assert networks["none"].config == ladder["+ Inplace-ABN"]
        assert networks["three"].config == ladder["+ Optimizer SE layers"]
        assert networks["four"].config == replace(networks["three"].config, se=(True,) * 4)
        sizes = [(64, 64)] * 3 + [(128, 64)] * 4 + [(256, 128)] * 11
        modules = [
            timm.layers.SEModule(channels, rd_channels=reduced) for channels, reduced in sizes
        ]
        last = [timm.layers.SEModule(512, rd_channels=256) for _ in range(3)]
    none, three, four = map(count_parameters, networks.values())
    assert three - none == sum(map(count_parameters, modules))
    assert four - three == sum(map(count_parameters, last))


def test_the_published_reductions_are_timms():
    with torch.device("meta"):
        theirs = timm.create_model("tresnet_m")
    for row in se.reductions().itertuples():
        layer = theirs.body.get_submodule(f"layer{row.stage}.0.se")
        assert (row.channels, row.coded_channels) == (layer.fc1.in_channels, layer.fc1.out_channels)
        assert row.coded == row.channels / row.coded_channels
    assert se.reductions()["printed"].tolist() == [4, 4, 8]


def test_the_weight_of_each_stage_is_what_its_layers_see():
    """Channels and sides as hooks find them in a real forward at another size."""
    network = TResNet(
        replace(create_model("tresnet_m").config, se=(True,) * 4, width=16, depths=(1, 2, 1, 1))
    ).eval()
    seen = []
    for module in network.modules():
        if isinstance(module, SqueezeExcite):
            module.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0][0].numel()))
    with torch.no_grad():
        network(images(1, 3, 64, 64))
    # the rule that the table uses
    assert seen == [16 * 16**2] + [32 * 8**2] * 2 + [64 * 4**2] + [128 * 2**2]
    table = se.per_stage(image_size=64)
    assert table["map"].tolist() == ["64×16×16", "128×8×8", "256×4×4", "512×2×2"]
    assert table["values"].tolist() == pytest.approx(
        [3 * 16.384e-3, 4 * 8.192e-3, 11 * 4.096e-3, 3 * 2.048e-3]
    )


def test_what_se_keeps_in_plain_autograd():
    """By hand: after the 3×3 the product; before the sum the norm's output. Each with its gates and
    averages.
    """
    mb = se.se_places(image_size=224).set_index("name")["plain"]
    one_map = 14 * 14 * 256 * 4 / 1e6
    vectors = 4 * 4 * 1024 / 1e6  # at most averages, hidden and gates
    assert one_map <= mb["after the 3×3"] - mb["no SE"] <= one_map + vectors
    assert 4 * one_map <= mb["before the sum"] - mb["no SE"] <= 4 * one_map + vectors


def test_fused_ends_keep_no_map_for_se():
    table = se.se_kept(image_size=224).set_index("name")
    smallest_map = 7 * 7 * 512 * 4 / 1e6
    assert table.loc["stages 1–4", "lean"] - table.loc["no SE", "lean"] < smallest_map
    for way in ("plain", "published"):
        assert table.loc["stages 1–3", way] - table.loc["no SE", way] > 11 * 14 * 14 * 256 * 4 / 1e6


def test_se_at_the_end_is_squeeze_and_excitation_on_the_blocks_output():
    """The fused block in training equals the parts that PyTorch differentiates itself."""
    fused, plain = (
        reseed(variants.se_blocks(**way)["end"]).double() for way in (se.LEAN, se.PLAIN)
    )
    plain.load_state_dict(fused.state_dict(), strict=True)
    x = images(2, 1024, 3, 3, dtype=torch.float64)
    branch = plain.conv3(plain.conv2(plain.conv1(x)))
    by_hand = (branch * plain.se.gate(branch) + x).relu()
    torch.testing.assert_close(fused(x), by_hand, rtol=1e-10, atol=1e-10)
    ours, theirs = (
        torch.autograd.grad(y.square().sum(), [*b.parameters()])
        for b, y in ((fused, fused(x)), (plain, by_hand))
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


# Where SE stands.


@pytest.mark.parametrize("norm", ["iabn", "bn"])
def test_the_steps_of_a_block_are_read_off_its_run(norm):
    network = create_model("tresnet_m", norm=norm, width=16)
    basic = ["conv 3×3", "norm", "leaky ReLU", "conv 3×3", "norm", "SE", "sum", "ReLU"]
    assert block_steps(network.body.layer1[1], 16) == basic
    bottleneck = [
        "conv 1×1",
        "norm",
        "leaky ReLU",
        "conv 3×3",
        "norm",
        "leaky ReLU",
        "SE",
        "conv 1×1",
        "norm",
    ]
    assert block_steps(network.body.layer3[1], 256) == [*bottleneck, "sum", "ReLU"]
    # with a blur; the shortcut's own layers are left out
    strided = block_steps(network.body.layer3[0], 32)
    assert strided == [*bottleneck[:6], "blur", *bottleneck[6:], "sum", "ReLU"]
    assert network.training and not any(m._forward_hooks for m in network.modules())


def test_the_steps_show_another_place():
    steps = block_steps(variants.se_blocks()["end"], 1024)
    assert steps[-3:] == ["SE", "sum", "ReLU"] and steps.count("SE") == 1
    assert "SE" not in block_steps(variants.se_blocks()["none"], 1024)


# Claims.


def verdicts(records: list[Record]) -> dict:
    return {
        c.id: [v.word for v in c.verdicts(records)] for c in load_claims() if c.id.startswith("se-")
    }


def test_counted_claims_need_no_records():
    found = verdicts([])
    for name in ("m", "l", "xl"):
        assert found[f"se-in-three-stages-{name}"] == ["reproduced"]
    assert found["se-place-basic"] == found["se-place-bottleneck"] == ["reproduced"]
    # timm's sizes, above
    assert found["se-reduction-basic"] == found["se-reduction-bottleneck"] == ["differs"]
    measured = [name for name, words in found.items() if words == ["not attempted"]]
    assert len(measured) == 6  # four speeds, two accuracies


def test_a_wrong_place_or_factor_would_be_noticed():
    place = next(c for c in load_claims() if c.id == "se-place-bottleneck")
    (found,) = replace(
        place, check={"name": "se_place", "block": "Bottleneck", "before": "sum"}
    ).verdicts([])
    assert (found.word, found.ours) == ("differs", "before the conv 1×1")
    factor = {"name": "se_reduction", "block": "Bottleneck", "factor": 2}
    assert replace(place, check=factor).verdicts([])[0].word == "reproduced"


def test_speed_claims_are_judged_at_224_pixels():
    printed = {m: se.IN_STAGES.paper_speed(m, "inference") for m in ("none", "three")}
    records = [
        record("none", printed["none"]),
        record("three", printed["three"]),
        record("four", printed["three"]),
    ]
    found = verdicts(in_processes(records, 1e-3))
    assert found["se-slows-inference"] == found["se-inference-cost"] == ["reproduced"]
    # as fast as each other
    assert found["se-three-stages-faster-inference"] == ["inconclusive"]
    small = [replace(r, conditions=Conditions(2, 64)) for r in records]
    assert verdicts(small)["se-slows-inference"] == ["not attempted"]


# Speeds and memory.


def test_speeds_stand_beside_table_4():
    records = [record("none", 40.0), record("three", 30.0), record("four", 20.0)]
    table = se.IN_STAGES.speeds(records)
    row = table.set_index("model").loc["three"]
    before, after = (
        paper_value(4, "inference_img_s", refinement=r)
        for r in ("+ Inplace-ABN", "+ Optimizer SE layers")
    )
    assert (row["name"], row.ratio, row.paper, row.paper_ratio) == (
        "stages 1–3",
        0.75,
        after,
        after / before,
    )
    assert math.isnan(table.set_index("model").loc["four", "paper"])
    alone = se.IN_BLOCK.speeds([record("none", 4.0, "block"), record("end", 2.0, "block")])
    assert alone["paper_ratio"].isna().all() and alone["ratio"].tolist() == [1.0, 0.5]


def test_compare_takes_other_inputs_than_images():
    maps = images(2, 5, 4, 4)
    seen = []
    layer = nn.Conv2d(5, 1, 1)
    layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    (timed,) = compare(
        {"a": layer}, QUICK, suite="test", case="maps", phase="inference", inputs=maps
    )
    assert all(x is maps for x in seen) and timed.value.median > 0


def test_a_training_peak_holds_at_least_the_gradients():
    network = gates.small_se_network(0)
    small = TResNet(network.config, num_classes=10)
    (found,) = training_peaks({"none": small}, QUICK, suite="se", case="stages")
    gradients = 4 * count_parameters(small)
    assert (found.metric, found.phase) == ("peak_memory", "training")
    assert found.value.median >= gradients
    assert se.IN_STAGES.peaks([found])["ratio"].tolist() == [1.0]


# The gates of a small network.


@pytest.fixture(scope="module")
def data():
    return digits()


@pytest.fixture(scope="module")
def trained(data):
    return small_training.train_small(gates.small_se_network(0), data, seed=0, epochs=3)


def test_the_digits_are_scikit_learns(data):
    """Enlarged fourfold and averaged back, bilinear interpolation keeps a digit's ink but for the
    border.
    """
    scans = load_digits()
    labels = torch.cat([data.labels, data.held_out_labels])
    assert sorted(labels.tolist()) == sorted(scans.target.tolist())
    pictures = torch.cat([data.images, data.held_out_images])
    assert pictures.shape == (1797, 1, 32, 32) and pictures.min() >= 0 and pictures.max() <= 1
    small = nn.functional.avg_pool2d(pictures, 4)[:, 0].flatten(1).numpy()
    same = np.corrcoef(
        np.sort(small.mean(1)), np.sort(scans.images.reshape(1797, -1).mean(1) / 16)
    )[0, 1]
    assert same > 0.99
    assert not (
        set(map(bytes, data.images.numpy())) & set(map(bytes, data.held_out_images.numpy()))
    )


def test_a_few_epochs_read_most_digits(trained, data):
    assert small_training.accuracy(trained, data) > 80


def test_gates_are_what_scales_the_maps(trained, data):
    """Scaling by the gates that were read gives the network's own answer; by others, another."""
    x = data.held_out_images[:8]
    found = gates.gates(trained, x)
    assert list(found) == [f"stage {s}, block {b}" for s, b in ((1, 1), (2, 1), (3, 1), (3, 2))]
    with torch.no_grad():
        plain = trained(x)
        with gates.swapped(trained, found):
            torch.testing.assert_close(trained(x), plain)
        with gates.swapped(trained, {name: gate / 2 for name, gate in found.items()}):
            assert not torch.allclose(trained(x), plain)
        torch.testing.assert_close(trained(x), plain, rtol=0, atol=0)  # and all is as before
    assert all(
        gate.shape == (8, c) and 0 <= gate.min() <= gate.max() <= 1
        for gate, c in zip(found.values(), (8, 16, 32, 32), strict=True)
    )


def test_fresh_basic_blocks_give_every_image_the_same_gates(data):
    """Their SE comes after a norm that starts at zero."""
    found = gates.gates(gates.small_se_network(3), data.held_out_images[:32])
    for name in ("stage 1, block 1", "stage 2, block 1"):
        assert torch.equal(found[name], found[name][:1].expand_as(found[name]))
    assert found["stage 3, block 1"].std(0).max() > 1e-4


def test_swaps_are_recorded_with_their_spread(trained, data):
    found = gates.swap_accuracies([trained, trained], data, QUICK)
    table = gates.accuracy_table(found).set_index("gates")
    assert list(table.index) == list(gates.SWAPS)
    own = small_training.accuracy(trained, data)
    assert table.loc["its own", "right"] == pytest.approx(own)
    assert (table["networks"] == 2).all() and (
        table["q1"] == table["q3"]
    ).all()  # one network, twice


# Drawings, and the chapter itself.


def test_drawings_show_the_numbers_that_they_are_given(trained, data):
    x = torch.arange(16.0).reshape(4, 2, 2)
    squeezed, gate = x.mean((1, 2)), torch.tensor([0.1, 0.25, 0.5, 0.75])
    drawn = drawings.excitation(
        x, squeezed, torch.tensor([3.0, 0.0]), gate, x * gate[:, None, None]
    )
    assert (
        all(f">{g:.2g}</text>" in drawn.html for g in gate.tolist())
        and "1.5, 5.5, 9.5, 14" in drawn.text
    )
    blocks = drawings.block_designs(se.designs())
    assert blocks.html.count(">SE</text>") == 2 and "conv 3×3, norm, SE, sum, ReLU" in blocks.text
    found = gates.gates(trained, data.held_out_images)
    shown = drawings.by_class({"stage 3, block 2": found["stage 3, block 2"]}, data.held_out_labels)
    assert all(f">{digit}</text>" in shown.html for digit in range(10))


def test_the_chapters_parameters_are_the_stems():
    stem, chapter = (
        nbformat.read(ROOT / "notebooks" / f"{n}.ipynb", 4)
        for n in ("01_stem", "05_squeeze_excite")
    )
    ours, theirs = (
        next(c.source for c in book.cells if c.id == "parameters") for book in (chapter, stem)
    )
    assert ours == theirs
