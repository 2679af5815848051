"""What the chapter on Inplace-ABN shows, checked against independent references."""

import subprocess
import sys

import nbformat
import pandas as pd
import pytest
import torch
from helpers import PROVENANCE
from planted import in_processes, verdict
from torch import nn

from tresnet_lite import create_model, profiles
from tresnet_lite.bench.compare import training_peaks
from tresnet_lite.checkout import ROOT
from tresnet_lite.claims import memory
from tresnet_lite.counting import kept, variants
from tresnet_lite.experiments import inplace_abn
from tresnet_lite.experiments import inplace_abn_layer as iabn_layer
from tresnet_lite.layers import InPlaceABN
from tresnet_lite.records import Conditions, Record, Spread
from tresnet_lite.show import inplace_abn as drawings

RAN = Conditions(4, 224)


def record(
    model,
    value,
    *,
    suite="memory",
    case="tresnet_m",
    metric="throughput",
    phase="training",
    **options,
):
    """A planted record of no real device."""
    conditions = options.pop("conditions", RAN)
    q1, q3 = options.pop("quartiles", (value, value))
    return Record(
        suite, case, model, phase, metric, Spread(value, q1, q3, 5), conditions, PROVENANCE
    )


# --- reading back


@pytest.mark.parametrize("layer", [iabn_layer.inplace_abn, iabn_layer.fused_tail])
@pytest.mark.parametrize("gamma", [1.0, -0.3, 1e-4, 0.0])
def test_layer_and_block_end_are_the_same_function_as_the_reference(layer, gamma):
    weight, bias = torch.full((5,), gamma), torch.linspace(-1, 1, 5)
    inputs = [t.double().requires_grad_() for t in (torch.randn(3, 5, 4, 4), weight, bias)]
    got, expected = (function(*inputs) for function in (layer, iabn_layer.reference))
    dy = torch.randn(3, 5, 4, 4, dtype=torch.float64)
    results = [(y, *torch.autograd.grad(y, inputs, dy)) for y in (got, expected)]
    torch.testing.assert_close(results[0], results[1], rtol=1e-10, atol=1e-10)


def test_an_error_of_a_gradient_is_found():
    """1 % too much in dγ is an error of 1 %; the reference's own, in float32, is rounding."""

    def wrong(x, weight, bias):
        return iabn_layer.reference(x, weight * 1.01 - 0.01 * weight.detach(), bias)

    dgamma, dx = iabn_layer.gradient_errors(wrong, 0.5, "float32")
    assert dgamma == pytest.approx(0.01, rel=1e-3) and dx < 1e-5
    assert max(iabn_layer.gradient_errors(iabn_layer.reference, 0.5, "float32")) < 1e-5


def test_precision_has_a_row_for_each_layer_dtype_and_weight():
    layers = {"a": iabn_layer.inplace_abn, "b": iabn_layer.fused_tail}
    table = iabn_layer.precision_table(layers, ["float32", "bfloat16"], [1.0, 0.001])
    assert len(table) == 8 and table.groupby("layer", sort=False).size().to_dict() == {
        "a": 4,
        "b": 4,
    }
    half = table[table["dtype"] == "bfloat16"]
    assert (half["dgamma"] < 0.01).all(), "the package's layers hold whatever the weight"


def test_at_weight_zero_plain_reading_back_gives_no_number():
    def plain(x, weight, bias):  # what the inversion hands to autograd: xhat from y
        y = iabn_layer.reference(x, weight.detach(), bias)
        return (
            weight[:, None, None]
            * (y.detach() - bias[:, None, None])
            / weight.detach()[:, None, None]
            + 0 * y
        )

    table = iabn_layer.tails(plain).set_index("gamma")
    assert table["plain_error"].isna().tolist() == [False, False, False, False, True]
    assert (table[["layer_error", "tail_error"]] < 0.01).all(axis=None)


# --- what is kept


@pytest.mark.parametrize("network", ["resnet50", "batchnorm", "paper", "min"])
def test_stages_groups_and_kinds_are_the_same_sum(network):
    total = sum(inplace_abn.kept_by_setting(network).values()) / 1e6
    assert sum(inplace_abn.by_group(network).values()) == pytest.approx(total)
    column = "published" if network == "paper" else network
    if column in (table := inplace_abn.by_stage().set_index("stage")):
        assert (
            table[column].drop("all").sum()
            == pytest.approx(total)
            == pytest.approx(table[column]["all"])
        )


def test_the_two_factors_make_the_whole():
    table = inplace_abn.memory_factors()
    for dtype in ("float32_ratio", "bfloat16_ratio"):
        assert table[dtype][0] * table[dtype][1] == pytest.approx(table[dtype][2])
    assert table["paper_ratio"][2] == 512 / 288  # Table 3


def test_what_is_counted_at_224_px_is_what_hooks_find():
    """Against hooks of its own: the bytes of the storages that autograd packs, the slope over the
    batch.
    """
    with torch.device("meta"):
        model = create_model("tresnet_m", norm="bn", memory="paper").train()
        totals = []
        for batch in (1, 3):
            kept = {}
            own = {p.untyped_storage()._cdata for p in (*model.parameters(), *model.buffers())}

            def pack(tensor, kept=kept):
                kept[tensor.untyped_storage()._cdata] = tensor
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
                model(torch.empty(batch, 3, 224, 224))
            totals.append(
                sum(t.untyped_storage().nbytes() for key, t in kept.items() if key not in own)
            )
    assert sum(inplace_abn.kept_by_setting("batchnorm").values()) == (totals[1] - totals[0]) / 2


@pytest.mark.parametrize(
    ("modules", "maps"),
    [
        ([nn.BatchNorm2d(64), nn.LeakyReLU(inplace=True)], 2),
        ([nn.BatchNorm2d(64), nn.SiLU()], 2),  # its input, and the activation's
        ([nn.BatchNorm2d(64)], 1),
        ([InPlaceABN(64)], 1),
        ([InPlaceABN(64, activation="relu")], 2),
    ],
)
def test_maps_that_a_norm_with_its_activation_keeps(modules, maps):
    assert iabn_layer.maps_kept(nn.Sequential(*modules)) == maps


def test_one_command_prints_the_table_and_meets_the_targets():
    command = [sys.executable, "-m", "tresnet_lite.counting.kept"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("tresnet_m  iabn")]
    assert [row[2] for row in rows] == ["paper", "lean", "recompute", "min"]
    assert all(float(row[5]) >= float(row[7]) for row in rows)


def test_a_missed_target_is_told(monkeypatch, capsys):
    monkeypatch.setitem(kept.TARGETS, "lean", 2.5)
    assert kept.main() == 1
    missed = [line for line in capsys.readouterr().out.splitlines() if line.endswith("missed")]
    assert len(missed) == 1 and " lean " in missed[0]


# --- what it costs


def test_the_networks_differ_in_norm_and_memory_alone():
    configs = {name: network.config for name, network in variants.memory_networks().items()}
    assert [(c.norm, c.memory) for c in configs.values()] == [
        ("bn", "paper"),
        ("iabn", "paper"),
        ("iabn", "lean"),
        ("iabn", "recompute"),
        ("iabn", "min"),
    ]
    relu, leaky, iabn = (network.config for network in variants.activation_networks().values())
    assert (relu.norm, relu.activation) == ("bn", "relu") and (leaky.norm, leaky.activation) == (
        "bn",
        "leaky_relu",
    )
    assert (iabn.norm, iabn.activation) == (
        "iabn",
        "leaky_relu",
    ) and iabn.blocks == leaky.blocks == relu.blocks


def test_frontier_and_inference_tables_stand_beside_what_they_compare_with():
    speeds = {"batchnorm": 10.0, "paper": 11.0, "min": 8.0}
    records = [record(name, speed) for name, speed in speeds.items()]
    records += [record(name, 5e8, metric="peak_memory") for name in speeds]
    table = inplace_abn.frontier_table(records).set_index("model")
    assert table["ratio"].to_dict() == {"batchnorm": 1.0, "paper": 1.1, "min": 0.8}
    assert (table["peak"] == 500).all() and table["kept"]["min"] < table["kept"]["paper"] < table[
        "kept"
    ]["batchnorm"]
    assert "0.91" in drawings.frontier(table.reset_index()).text  # the time of "paper"

    records = [
        record(name, 100.0, case="activation", phase="inference")
        for name in ("relu", "leaky_relu", "iabn")
    ]
    table = inplace_abn.ACTIVATION.speeds(records).set_index("model")
    assert table["paper_ratio"]["iabn"] == 3470 / 3320 and pd.isna(table["paper"]["leaky_relu"])


def test_peaks_and_layer_times_are_records():
    smoke = profiles.resolve("smoke", image_size=32, device="cpu")
    small = {"narrow": create_model("tresnet_m", width=8, depths=(1, 1, 1, 1), num_classes=4)}
    (found,) = training_peaks(small, smoke, suite="memory", case="tresnet_m")
    gradients = sum(p.nbytes for p in small["narrow"].parameters())
    assert (found.suite, found.metric) == (
        "memory",
        "peak_memory",
    ) and found.value.median > gradients
    layers = {
        name: layer for name, layer in iabn_layer.norm_layers().items() if "mapillary" not in name
    }
    table = iabn_layer.layer_table(layers, iabn_layer.measure_layers(layers, smoke))
    assert table["maps"].tolist() == [2, 1] and table["time_ratio"][0] == 1.0
    assert (table["largest_error"] < 1e-5).all()


def test_an_error_of_a_layer_is_found():
    class Wrong(InPlaceABN):
        def forward(self, x):
            return super().forward(x) * 1.01

    assert iabn_layer.layer_errors(Wrong(8, activation_param=iabn_layer.SLOPE))[
        "y"
    ] == pytest.approx(0.01, rel=1e-3)


# --- training


def test_both_norms_start_alike_and_learn():
    losses = {norm: inplace_abn.digit_losses(norm, 0, steps=12) for norm in ("bn", "iabn")}
    # bfloat16 has three digits
    assert losses["bn"][0] == pytest.approx(losses["iabn"][0], rel=0.02)
    assert all(values[-1] < 0.8 * values[0] for values in losses.values())
    assert losses["iabn"][:1] != inplace_abn.digit_losses("iabn", 1, steps=1), "the seed decides"


def test_in_float32_the_norms_track_each_other_step_by_step():
    """The same first weights and batches: what differs is rounding, which twelve steps hardly
    amplify.
    """
    bn, iabn = (
        inplace_abn.digit_losses(norm, 0, steps=12, dtype="float32") for norm in ("bn", "iabn")
    )
    assert bn == pytest.approx(iabn, rel=0.01)


def test_the_norms_are_compared_seed_by_seed():
    """Seeds differ by more than the norms, and the pairs take that out. By hand: differences 0.4,
    0.5 and 0.6 have a deviation of 0.1, and t for two degrees of freedom is 4.303.
    """
    rows = [
        {"norm": norm, "seed": seed, "step": step, "loss": 10 * seed + more}
        for seed in range(3)
        for norm, more in (("BatchNorm", 1.0), ("Inplace-ABN", 1.4 + 0.1 * seed))
        for step in (1, 2)
    ]
    mean, low, high = inplace_abn.norm_difference(pd.DataFrame(rows), last=1)
    half = 4.3027 * 0.1 / 3**0.5
    assert (mean, low, high) == pytest.approx((0.5, 0.5 - half, 0.5 + half), rel=1e-4)


# --- claims


def test_memory_claims_are_counted():
    ratio = {
        name: verdict([], name)
        for name in ("iabn-keeps-less", "iabn-doubles-the-batch", "iabn-batch-m-counted")
    }
    assert [v.word for v in ratio.values()] == ["reproduced", "differs", "reproduced"]
    assert all(v.label.startswith("counted") for v in ratio.values())
    assert ratio["iabn-batch-m-counted"].paper == f"{512 / 288:.3f}×"
    assert (
        verdict([], "iabn-leaky-relu-memory").word
        == verdict([], "iabn-swish-mish-memory").word
        == "reproduced"
    )


def test_a_count_that_differs_would_be_noticed(monkeypatch):
    monkeypatch.setattr(memory, "kept_per_image", lambda name, *_, **options: {("all", name): 1.0})
    assert (
        verdict([], "iabn-keeps-less").word == verdict([], "iabn-batch-m-counted").word == "differs"
    )


@pytest.mark.parametrize(
    ("speed", "noise", "word"),
    [(96, 0.001, "reproduced"), (94, 0.001, "differs"), (96, 0.1, "inconclusive")],
)
def test_negligible_means_five_per_cent(speed, noise, word):
    records = [record(name, v) for name, v in (("batchnorm", 100.0), ("paper", float(speed)))]
    assert verdict(in_processes(records, noise), "iabn-costs-little").word == word
    small = [record(name, 100.0, conditions=Conditions(2, 64)) for name in ("batchnorm", "paper")]
    assert verdict(small, "iabn-costs-little").word == "not attempted"


def test_largest_batches_are_judged_when_there_are_records():
    def largest(model, batch, norm, setting):
        conditions = Conditions(batch, 224, "float16", norm=norm, memory=setting)
        return record(
            model,
            batch,
            suite="table3",
            case="networks",
            metric="largest_batch",
            conditions=conditions,
        )

    records = [largest("resnet50", 288, "bn", None), largest("tresnet_m", 512, "native", "paper")]
    assert verdict(records, "iabn-batch-m").word == "reproduced"
    assert verdict(records, "iabn-batch-m").ours == f"{512 / 288:.3f}×"
    # needs BatchNorm's
    assert verdict(records, "iabn-doubles-largest-batch").word == "not attempted"
    records += [
        largest("tresnet_m", 384, "bn", "paper"),
        largest("tresnet_m", 600, "native", "lean"),
    ]
    assert verdict(records, "iabn-doubles-largest-batch").word == "differs"
    assert verdict(records, "iabn-batch-l").word == "not attempted"


# --- the notebook


def test_the_chapter_shares_its_parameters_with_the_first():
    first, this = (
        {cell.id: cell for cell in nbformat.read(ROOT / "notebooks" / name, as_version=4).cells}
        for name in ("01_stem.ipynb", "03_inplace_abn.ipynb")
    )
    ours, theirs = this["parameters"], first["parameters"]
    assert (ours.source, ours.metadata) == (theirs.source, theirs.metadata)


def test_a_batch_in_quarters_gives_the_same_gradients():
    """Outputs in evaluation agree image by image; the parts' gradients add up."""
    torch.manual_seed(0)
    networks = variants.batch_networks(width=8)
    images = torch.rand(8, 3, 64, 64)
    for network in networks.values():
        network.eval()
    grads = []
    for network in networks.values():
        network.zero_grad()
        output = network(images)
        output.square().mean().backward()
        grads.append([output, *(p.grad for p in network.parameters() if p.grad is not None)])
    torch.testing.assert_close(*grads, rtol=1e-3, atol=1e-4)  # float32 sums in another order
    seen = []
    networks["whole"].register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    networks["quarters"](images)
    assert seen == [2, 2, 2, 2]


def test_what_the_activations_alone_share():
    layers = variants.activation_layers(4)
    x = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    for name, layer in layers.items():
        torch.testing.assert_close(layer(x), getattr(torch.nn, name)()(layer[0](x)))
