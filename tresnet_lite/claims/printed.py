"""Checks of claims against the paper's own tables, and of claims that need what is not at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from tresnet_lite.claims.tables import trained_in_time
from tresnet_lite.claims.verdict import Verdict, judge, not_attempted
from tresnet_lite.paper import paper_table, paper_value
from tresnet_lite.records import Record


def awaits(
    records: list[Record], *, needs: str, paper: dict[str, dict] | None = None
) -> list[Verdict]:
    """A claim that no record can judge; `paper` has the two cells whose difference it is about."""
    printed = ""
    if paper:
        printed = f"{paper_value(**paper['cell']) - paper_value(**paper['base_cell']):+.1f} points"
    return [not_attempted(f"needs {needs}", printed)]


def awaits_training(
    records: list[Record], *, networks: str, paper: dict[str, dict] | None = None
) -> list[Verdict]:
    """A claim about accuracy that waits until the named networks have been trained."""
    return awaits(records, needs=f"{networks}, trained alike on ImageNet", paper=paper)


def printed_ratios(
    records: list[Record], *, table: int, pairs: Sequence[dict], least: int, most: int
) -> list[Verdict]:
    """Do the quotients of a table's cells, rounded to whole numbers, lie where the text says?"""
    cells = [(pair["cell"], pair["base_cell"]) for pair in pairs]
    ratios = [paper_value(table, **cell) / paper_value(table, **base) for cell, base in cells]
    good = all(least <= round(ratio) <= most for ratio in ratios)
    why = f"the table's own speeds give {', '.join(f'{ratio:.1f}×' for ratio in ratios)}"
    quoted = f"{min(ratios):.1f}–{max(ratios):.1f}×"
    return [_by_table(table, good, why, f"{least}–{most}×", quoted)]


def printed_wins(records: list[Record], *, table: int, wanted: int, ties: bool) -> list[Verdict]:
    """Is TResNet better in at least `wanted` data sets of Table 6, or metrics of Table 8 or 9?

    Args:
        ties: does an equal figure count?
    """
    pairs = _against_others(table)
    lost = [
        f"{name} {ours:g} against {theirs:g}"
        for name, (ours, theirs) in pairs.items()
        if not (ours > theirs or (ties and ours == theirs))
    ]
    won = len(pairs) - len(lost)
    why = f"not {', '.join(lost)}" if lost else "every one"
    paper, quoted = f"{wanted} of {len(pairs)}", f"{won} of {len(pairs)}"
    return [_by_table(table, won >= wanted, why, paper, quoted)]


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


def printed_steps(records: list[Record], *, column: str, largest: Sequence[str]) -> list[Verdict]:
    """Do Table 4's refinements all raise a column, those named the most?"""
    rungs = paper_table(4).set_index("refinement")[column]
    steps = rungs.diff().iloc[1:].sort_values(ascending=False)
    first = steps.index[: len(largest)]
    good = (steps > 0).all() and set(first) == set(largest)
    why = ", ".join(f"{name} {step:+.1f}" for name, step in steps.items())
    return [_by_table(4, good, why, " and ".join(largest), " and ".join(first))]


def printed_batches(records: list[Record], *, base: str) -> list[Verdict]:
    """Are all largest batches of the TResNets in Table 3 larger than that of the network `base`?"""
    batches = paper_table(3).set_index("model")["max_batch"]
    others = batches.drop(base)
    larger, total = (others > batches[base]).sum(), len(others)
    each = ", ".join(f"{name} {batch}" for name, batch in others.items())
    why = f"{each}; {base} {batches[base]}"
    return [_by_table(3, larger == total, why, f"{total} of {total}", f"{larger} of {total}")]


def printed_hours(
    records: list[Record], *, networks: Sequence[str], gpus: int, hours: float
) -> list[Verdict]:
    """Would `gpus` V100s at Table 3's training speeds take less than `hours` for all epochs?"""
    speeds = {name: paper_value(3, "training_img_s", model=name) for name in networks}
    good, why, quoted = trained_in_time(speeds, gpus, hours)
    return [_by_table(3, good, why, f"< {hours:g} h", quoted)]


def printed_gain(
    records: list[Record], *, cell: dict, base_cell: dict, points: float
) -> list[Verdict]:
    """Is one cell of a table above another by what the text says?"""
    ours, base = paper_value(**cell), paper_value(**base_cell)
    good, why = round(ours - base, 1) == points, f"{ours:g} and {base:g}"
    return [_by_table(cell["table"], good, why, f"{points:+.1f}", f"{ours - base:+.1f}")]


def printed_alike(
    records: list[Record],
    *,
    models: Sequence[str],
    tables: Sequence[int],
    columns: Sequence[str],
    where: Mapping[int, dict[str, object]] | None = None,
) -> list[Verdict]:
    """Do two tables print the same for the same networks?

    Args:
        where: what else finds the row in a table of several for a network.
    """
    cells, where = [(model, column) for model in models for column in columns], where or {}
    values = {
        (model, column): {paper_value(t, column, model=model, **where.get(t, {})) for t in tables}
        for model, column in cells
    }
    unlike = [f"{model}'s {column}" for (model, column), of in values.items() if len(of) > 1]
    why = f"not {', '.join(unlike)}" if unlike else "every one"
    alike = f"{len(cells) - len(unlike)} of {len(cells)}"
    return [_by_table(tables[0], not unlike, why, f"{len(cells)} of {len(cells)}", alike)]


def printed_rank(
    records: list[Record], *, table: int, column: str, by: str, weaker: float
) -> list[Verdict]:
    """Do a table's speeds fall with another of its columns less regularly than a proxy's would?

    Args:
        weaker: the rank correlation (Spearman's) that theirs must lie above; -1 is a perfect proxy.
    """
    rows = paper_table(table)
    found = rank_correlation(rows[by], rows[column])
    why = f"rank correlation of {by} and {column} over {len(rows)} networks; a proxy gives -1"
    return [_by_table(table, found > weaker, why, f"> {weaker:g}", f"{found:.2f}")]


def rank_correlation(one: pd.Series, other: pd.Series) -> float:
    """Spearman's: the correlation of the ranks."""
    return float(one.rank().corr(other.rank()))


def limited_by_memory(
    records: list[Record], *, networks: Sequence[str], phase: str
) -> list[Verdict]:
    """Does memory limit more than half of the time of Table 1's `networks`? No clock tells."""
    return [not_attempted("needs a GPU's own counters of memory traffic and arithmetic")]


def _by_table(table: int, good: bool, why: str, paper: str, quoted: str) -> Verdict:
    return judge(good, why, paper, quoted, f"quoted (the paper's Table {table})")
