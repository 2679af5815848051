"""Claims held against the paper's own tables turn with the figures in them."""

from dataclasses import replace

import pytest
import timm
import torch
from planted import in_processes, speed, verdict

from tresnet_lite import create_model
from tresnet_lite.claims import memory, printed
from tresnet_lite.counting.kept import kept_mb
from tresnet_lite.layers import InPlaceABN
from tresnet_lite.paper import paper_table


@pytest.fixture
def edit(monkeypatch):
    """Change a cell of one of the paper's tables, for the checks."""
    changed = {}

    def change(number, row, column, value):
        table = changed.setdefault(number, paper_table(number).copy())
        table.loc[row, column] = value

    def read(number):
        return changed.get(number, paper_table(number))

    monkeypatch.setattr(printed, "paper_table", read)
    return change


def word(check, **arguments):
    (verdict,) = getattr(printed, check)([], **arguments)
    return verdict.word


def test_the_transfer_table_holds_three_of_four(edit):
    assert word("printed_wins", table=6, wanted=3, ties=True) == "reproduced"
    assert word("printed_wins", table=6, wanted=3, ties=False) == "differs"  # CIFAR-10 is a tie
    assert word("printed_wins", table=6, wanted=4, ties=True) == "differs"  # CIFAR-100 is lost
    edit(6, 3, "top1", 91.8)
    assert word("printed_wins", table=6, wanted=4, ties=True) == "reproduced"


def test_all_seven_metrics_of_table_8(edit):
    assert word("printed_wins", table=8, wanted=7, ties=False) == "reproduced"
    edit(8, 1, "or", 76.0)
    assert word("printed_wins", table=8, wanted=7, ties=False) == "differs"


def test_quotients_are_rounded_to_whole_numbers():
    def pair(numerator, denominator):
        return {
            "cell": {"column": "inference_img_s", "model": numerator},
            "base_cell": {"column": "inference_img_s", "model": denominator},
        }

    both = [pair("TResNet-M", "MixNet-L")]  # 2930 / 1400 = 2.09
    assert word("printed_ratios", table=1, pairs=both, least=2, most=2) == "reproduced"
    assert word("printed_ratios", table=1, pairs=both, least=3, most=9) == "differs"


def test_refinements_must_all_raise_and_the_named_ones_most(edit):
    dominant = ["+ Optimizer SE layers", "+ AA"]
    assert word("printed_steps", column="top1", largest=dominant) == "reproduced"
    assert word("printed_steps", column="top1", largest=["+ AA", "+ Inplace-ABN"]) == "differs"
    assert word("printed_steps", column="inference_img_s", largest=dominant) == "differs"
    edit(4, 1, "top1", 78.9)
    assert word("printed_steps", column="top1", largest=dominant) == "differs"


def test_larger_batches_of_all(edit):
    assert word("printed_batches", base="ResNet50") == "differs"
    edit(3, 3, "max_batch", 300)
    assert word("printed_batches", base="ResNet50") == "reproduced"


def test_what_cannot_be_judged_says_what_it_needs():
    (verdict,) = printed.awaits(
        [],
        needs="a detector",
        paper={
            "cell": {"table": 9, "column": "map", "backbone": "MTResNet"},
            "base_cell": {"table": 9, "column": "map", "backbone": "ResNet50"},
        },
    )
    assert (verdict.word, verdict.why, verdict.paper) == (
        "not attempted",
        "needs a detector",
        "+1.2 points",
    )


def test_paths_keep_no_maps_and_widths_do():
    """ResNeXt50 keeps more than ResNet50, as its 3×3 layers are twice as wide; timm's network of
    these widths without groups keeps as much.
    """
    both = ["ResNeXt50", "MixNet-L"]
    (found,) = memory.multi_path_keeps([], networks=both, base="ResNet50", side=64)
    assert (found.word, found.ours) == ("differs", "ResNeXt50 1.00×, MixNet-L 1.00×")
    with torch.device("meta"):
        wide = timm.create_model("resnext50_32x4d", cardinality=1, base_width=128).bfloat16()
        narrow = timm.create_model("resnet50").bfloat16()
    ratio = kept_mb(wide, (3, 64, 64)) / kept_mb(narrow, (3, 64, 64))
    assert f"ResNeXt50 keeps {ratio:.2f} times as much as ResNet50" in found.why


def test_a_network_that_keeps_more_for_its_paths_would_be_noticed(monkeypatch):
    """As if joining the paths halved what is kept."""
    monkeypatch.setattr(
        memory, "_kept_by_table_1", lambda name, side, one_path=False: 1 if one_path else 2
    )
    (found,) = memory.multi_path_keeps([], networks=["ResNeXt50"], base="ResNet50")
    assert (found.word, found.ours) == ("reproduced", "ResNeXt50 2.00×")


@pytest.mark.parametrize(
    ("part", "whole", "word", "ours"),
    [
        (82, 80, "reproduced", "90%"),
        (90, 80, "differs", "50%"),
        (99, 100.001, "inconclusive", ""),  # no loss
    ],
)
def test_a_share_of_a_loss_is_judged_on_one_device(part, whole, word, ours):
    """The V100's own loss of a quarter plays no part."""
    models = {"conv7x7": 100, "resnet_d": part, "resnet50_d": whole}
    records = [
        speed("stem", model, "training", value, case="resnet50") for model, value in models.items()
    ]
    records = in_processes(records, 1e-4)
    found = verdict(records, "resnet-d-stem-training-loss")
    assert (found.word, found.ours.partition(" ")[0]) == (word, ours)
    small = [replace(r, conditions=replace(r.conditions, resolution=64)) for r in records]
    assert "needs resnet50_d and conv7x7" in verdict(small, "resnet-d-stem-training-loss").why


def test_the_papers_own_numbers_agree_with_each_other(monkeypatch):
    hours = verdict([], "table3-a-day-by-its-speeds")
    # 300 · 1281167 / (8 · 730) seconds
    assert hours.word == "reproduced" and "TResNet-M 18.3 h" in hours.ours
    assert verdict([], "table3-m-gain").ours == "+1.8"
    alike = verdict([], "table1-m-is-table3-m")
    assert (alike.word, alike.ours) == ("reproduced", "6 of 6")
    monkeypatch.setattr(printed, "paper_value", lambda table, *_, **__: float(table))
    found = verdict([], "table1-m-is-table3-m")
    assert found.word == "differs" and "TResNet-M's top1" in found.why
    assert verdict([], "table3-m-gain").word == "differs"
    assert verdict([], "table3-a-day-by-its-speeds").word == "differs"


def test_every_norm_is_in_place(monkeypatch):
    norms = sum(isinstance(m, InPlaceABN) for m in create_model("tresnet_m").modules())
    assert verdict([], "iabn-every-norm").ours == f"{norms} of {norms}"
    monkeypatch.setattr(memory, "create_model", lambda name: create_model(name, norm="bn"))
    found = verdict([], "iabn-every-norm")
    assert (found.word, found.ours.split()[0]) == ("differs", "0")


def test_half_of_the_strides_are_blurred():
    """ResNet50 has six convolutions of stride 2; three of them are shortcuts', which average."""
    found = verdict([], "aa-replaces-every-stride")
    assert (found.word, found.ours) == ("differs", "3 of 6")
    assert found.why.count("shortcut") == 3 and "stage 2's shortcut" in found.why


def test_a_reduction_says_what_it_is_relative_to():
    found = verdict([], "se-reduction-bottleneck")
    assert (found.word, found.ours) == ("differs", "2")
    assert "256 channels to 128, 8 relative to the block's output" in found.why
