"""Checks of claims against the paper's own tables, and of claims that need what is not at hand (see
`claims`).
"""

from __future__ import annotations

from collections.abc import Sequence

from tresnet_lite.claims.verdict import DIFFERS, NOT_ATTEMPTED, REPRODUCED, Verdict
from tresnet_lite.paper import paper_table, paper_value
from tresnet_lite.records import Record


def awaits(
    records: list[Record], *, needs: str, paper: dict[str, dict] | None = None
) -> list[Verdict]:
    """A claim that no record can judge; with `paper` the difference of the two cells that it is
    about.
    """
    printed = (
        f"{paper_value(**paper['of']) - paper_value(**paper['to']):+.1f} points" if paper else ""
    )
    return [Verdict(NOT_ATTEMPTED, f"needs {needs}", printed)]


def printed_ratios(
    records: list[Record], *, table: int, pairs: Sequence[dict], least: int, most: int
) -> list[Verdict]:
    """Do the quotients of a table's cells, rounded to whole numbers, lie where the text says?"""
    ratios = [paper_value(table, **pair["of"]) / paper_value(table, **pair["to"]) for pair in pairs]
    good = all(least <= round(ratio) <= most for ratio in ratios)
    why = f"the table's own speeds give {', '.join(f'{ratio:.1f}×' for ratio in ratios)}"
    told = f"{min(ratios):.1f}–{max(ratios):.1f}×"
    return [_verdict(good, why, f"{least}–{most}×", told, table)]


def printed_wins(records: list[Record], *, table: int, wanted: int, ties: bool) -> list[Verdict]:
    """Is TResNet the better one in at least `wanted` of Table 6's data sets, or of Table 8's or 9's
    metrics?

    Args:
        ties: does an equal figure count?
    """
    pairs = _against_others(table)
    won = {
        name: ours > theirs or (ties and ours == theirs) for name, (ours, theirs) in pairs.items()
    }
    lost = [
        f"{name} {pairs[name][0]:g} against {pairs[name][1]:g}"
        for name, good in won.items()
        if not good
    ]
    why = f"not {', '.join(lost)}" if lost else "every one"
    found = f"{sum(won.values())} of {len(won)}"
    return [_verdict(sum(won.values()) >= wanted, why, f"{wanted} of {len(won)}", found, table)]


def printed_steps(records: list[Record], *, column: str, largest: Sequence[str]) -> list[Verdict]:
    """Do Table 4's refinements all raise a column, those named the most?"""
    rungs = paper_table(4).set_index("refinement")[column]
    steps = rungs.diff().iloc[1:].sort_values(ascending=False)
    good = bool((steps > 0).all()) and set(steps.index[: len(largest)]) == set(largest)
    why = ", ".join(f"{name} {step:+.1f}" for name, step in steps.items())
    return [
        _verdict(good, why, " and ".join(largest), " and ".join(steps.index[: len(largest)]), 4)
    ]


def printed_batches(records: list[Record], *, than: str) -> list[Verdict]:
    """Are all largest batches of the TResNets in Table 3 larger than that of the network `than`?"""
    batches = paper_table(3).set_index("model")["max_batch"]
    others = batches.drop(than)
    why = (
        ", ".join(f"{name} {batch}" for name, batch in others.items()) + f"; {than} {batches[than]}"
    )
    told = f"{(others > batches[than]).sum()} of {len(others)}"
    return [
        _verdict(
            bool((others > batches[than]).all()), why, f"{len(others)} of {len(others)}", told, 3
        )
    ]


def _against_others(table: int) -> dict[str, tuple[float, float]]:
    """What TResNet reaches in the paper's Table 6, 8 or 9, and what the network beside it does."""
    rows = paper_table(table)
    names = rows["model" if table == 6 else "backbone"]
    ours, theirs = rows[names.str.contains("TResNet")], rows[~names.str.contains("TResNet")]
    if table == 6:
        other = theirs.set_index("dataset")["top1"]
        return {row.dataset: (row.top1, other[row.dataset]) for row in ours.itertuples()}
    metrics = rows.select_dtypes("number").columns
    return {metric: (ours[metric].iloc[0], theirs[metric].iloc[0]) for metric in metrics}


def _verdict(good: bool, why: str, paper: str, ours: str, table: int) -> Verdict:
    return Verdict(
        REPRODUCED if good else DIFFERS, why, paper, ours, f"quoted (the paper's Table {table})"
    )


def awaits_training(
    records: list[Record], *, networks: str, paper: dict[str, dict] | None = None
) -> list[Verdict]:
    """A claim about accuracy that no record can judge until the named networks have been
    trained.
    """
    printed = (
        f"{paper_value(**paper['of']) - paper_value(**paper['to']):+.1f} points" if paper else ""
    )
    return [Verdict(NOT_ATTEMPTED, f"needs {networks}, trained alike on ImageNet", printed)]
