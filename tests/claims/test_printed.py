"""Claims held against the paper's own tables turn with the figures in them."""

import pytest

from tresnet_lite.claims import memory, printed
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


def test_paths_keep_maps():
    (more,) = memory.multi_path_keeps([], networks=["ResNeXt50"], base="ResNet50", side=64)
    (less,) = memory.multi_path_keeps([], networks=["ResNet50"], base="ResNeXt50", side=64)
    assert (more.word, less.word) == ("reproduced", "differs")
