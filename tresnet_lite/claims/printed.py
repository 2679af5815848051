"""Checks of claims against the paper's own tables, and of claims that need what is not at hand."""

from __future__ import annotations

from collections.abc import Sequence

from tresnet_lite.claims.verdict import Verdict, judge, not_attempted
from tresnet_lite.findings.tables import PAPER_SIDE
from tresnet_lite.paper import paper_table, paper_value
from tresnet_lite.records import Record, pair


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


def _by_table(table: int, good: bool, why: str, paper: str, quoted: str) -> Verdict:
    return judge(good, why, paper, quoted, f"quoted (the paper's Table {table})")


def loss_share(
    records: list[Record],
    *,
    suite: str,
    case: str,
    phase: str,
    part: str,
    whole: str,
    base: str,
    at_least: float,
) -> list[Verdict]:
    """Of the speed that `whole` loses to `base`, does `part` alone lose at least such a share?

    All three are timed alike on one device, so that no other device's loss comes in.
    """
    where = {"suite": suite, "case": case, "phase": phase}
    wholes = {b: a.value.median for a, b in pair(records, whole, base, **where)}
    verdicts = []
    for a, b in pair(records, part, base, **where):
        if b not in wholes or b.conditions.resolution != PAPER_SIDE:
            continue
        ours, all_of_it = (1 - speed / b.value.median for speed in (a.value.median, wholes[b]))
        why = f"{whole} loses {all_of_it:.1%} of the speed of {base}, {part} alone {ours:.1%}"
        if all_of_it <= max((v.q3 - v.q1) / v.median for v in (a.value, b.value)):
            verdicts.append(not_attempted(f"{why}: too little to share out", label=a.label))
            continue
        share = ours / all_of_it
        wanted = f"≥ {at_least:.0%} of it"
        verdicts.append(judge(share >= at_least, why, wanted, f"{share:.0%}", a.label))
    needs = f"{base}, {part} and {whole}, {phase} at {PAPER_SIDE} px"
    return verdicts or [not_attempted(f"no records; needs {needs}")]
