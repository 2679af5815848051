"""The claims ledger: what the paper asserts, judged by records or by counting.

`data/paper/claims.yaml` states each claim and names one of the checks below. A check returns a
verdict for each device that has the records it needs, "inconclusive" where these do not tell, "not
attempted" with the reason where none has, and one verdict where counting is enough. No verdict is
typed anywhere.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from reprlib import repr  # short, whatever an entry repeats by its anchors
from types import ModuleType

import pandas as pd
import yaml

from tresnet_lite.checkout import DATA
from tresnet_lite.claims import accuracy, figures, memory, printed, size, speed, tables
from tresnet_lite.claims.asked import arguments
from tresnet_lite.claims.evidence import WORDS as EVIDENCE_WORDS
from tresnet_lite.claims.evidence import Evidence
from tresnet_lite.claims.predicted import predicted
from tresnet_lite.claims.published import published
from tresnet_lite.claims.verdict import INCONCLUSIVE, NOT_ATTEMPTED, WORDS, Verdict, on_a_cpu
from tresnet_lite.records import Record

Check = Callable[..., list[Verdict]]  # (records, arguments of the claim) → verdicts


def _checks(*modules: ModuleType) -> dict[str, Check]:
    """The checks of some modules by name: their own public functions that take `records`."""
    checks = {}
    for module in modules:
        for name, function in inspect.getmembers(module, inspect.isfunction):
            own = function.__module__ == module.__name__ and not name.startswith("_")
            if own and "records" in inspect.signature(function).parameters:
                if name in checks:
                    raise ValueError(f"two checks are called {name}: {module.__name__} has one")
                checks[name] = function
    return checks


CHECKS = _checks(speed, size, memory, accuracy, tables, figures, printed)
LARGEST = 100  # fields of a mapping in claims.yaml
KINDS = ("speed", "memory", "accuracy", "size")
# What is known without a device of ours, and the words that a sum begins with
EVIDENCE = {"predicted": "predicted for a V100", "published": "on others' GPUs"}
COUNTED = "by counting and by the paper's own tables"


@dataclass(frozen=True)
class Claim:
    """An entry of claims.yaml.

    `check` is the name of one of `CHECKS` and its arguments. `published` has timm's `model` and
    `base` that differ in what a claim about our own networks is about.
    """

    id: str
    section: str
    kind: str
    sentence: str
    check: dict[str, object] = field(hash=False)
    published: dict[str, str] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        for name in ("id", "section", "kind", "sentence"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"claim {repr(self.id)}: {name} must be a text")
        if self.kind not in KINDS:
            known = ", ".join(KINDS)
            raise ValueError(f"claim {self.id}: kind is {repr(self.kind)}, not one of {known}")
        name = self.check.get("name") if isinstance(self.check, dict) else self.check
        if not isinstance(name, str) or name not in CHECKS:
            raise ValueError(
                f"claim {self.id}: no check {repr(name)}; there are {', '.join(CHECKS)}"
            )
        if not isinstance(self.check, dict):
            raise ValueError(f"claim {self.id}: write its check as {{name: {name}, …}}")
        try:
            inspect.signature(CHECKS[name]).bind([], **self.arguments)
        except TypeError as error:
            raise ValueError(f"claim {self.id}: check {name!r}: {error}") from error
        if self.published is not None and not (
            isinstance(self.published, dict) and set(self.published) == {"model", "base"}
        ):
            raise ValueError(f"claim {self.id}: write published as {{model: …, base: …}}")

    @property
    def arguments(self) -> dict[str, object]:
        """What the check takes besides records."""
        return arguments(self.check)

    def verdicts(self, records: list[Record]) -> list[Verdict]:
        """What the check says of the claim: a verdict for each device that can judge it.

        What a CPU measured is said in words of its own.
        """
        verdicts = CHECKS[self.check["name"]](records, **self.arguments)
        if self.kind != "speed":
            return verdicts
        cpus = {r.label for r in records if r.provenance.cuda is None}
        return [on_a_cpu(verdict) if verdict.label in cpus else verdict for verdict in verdicts]


# ten times faster in C, where yaml was built with it
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Plain values; "<<" cannot copy mappings into mappings until they fill the memory."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > LARGEST:
            raise yaml.MarkedYAMLError(problem=f"more than {LARGEST} fields, with those of <<")


def _claim(entry: dict[str, object]) -> Claim:
    try:
        return Claim(**entry)
    except TypeError as error:
        name = entry.get("id", entry) if isinstance(entry, dict) else entry
        name = name if isinstance(name, str) else repr(name)[:200]
        raise ValueError(f"claim {name}: {error}") from error


def load_claims(path: Path = DATA / "paper" / "claims.yaml") -> list[Claim]:
    """The claims of a file, in its order.

    Raises:
        ValueError: a field too many or too few, an unknown kind or check, arguments that the check
            does not take, an id used twice.
    """
    try:
        entries = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{path} is not YAML as this ledger has it: {error}") from error
    if not isinstance(entries, list):
        raise ValueError(f"{path} must be a list of claims")
    claims = [_claim(entry) for entry in entries]
    twice = [name for name, count in Counter(claim.id for claim in claims).items() if count > 1]
    if twice:
        raise ValueError(f"{path}: ids used twice: {', '.join(twice)}")
    return claims


def ledger(records: Iterable[Record]) -> pd.DataFrame:
    """One row for each claim and each device that can judge it.

    Columns: id, section, kind, sentence, verdict, why, paper, ours, label, device ("": none); and
    for each of `EVIDENCE` its word under its name ("": none), …_figures and …_source.
    """
    return pd.DataFrame(list(_rows(tuple(load_claims()), tuple(records))))


# several pages of the book ask for the same ledger, and counting takes seconds
@lru_cache(maxsize=4)
def _rows(claims: tuple[Claim, ...], records: tuple[Record, ...]) -> tuple[dict[str, str], ...]:
    rows, devices = [], {r.label: r.provenance.device for r in records}
    for claim in claims:
        about = {name: getattr(claim, name) for name in ("id", "section", "kind", "sentence")}
        about |= _elsewhere(claim)
        for v in claim.verdicts(list(records)):
            figures = {"why": v.why, "paper": v.paper, "ours": v.ours, "label": v.label}
            device = devices.get(v.label, "")
            rows.append({**about, "verdict": v.word, **figures, "device": device})
    return tuple(rows)


@cache
def _elsewhere(claim: Claim) -> dict[str, str]:
    """What is known of a claim without a device of ours, as the ledger's columns."""
    found: dict[str, Evidence | None] = {
        "predicted": predicted(claim.check),
        "published": published(claim.check, claim.published),
    }
    columns = {}
    for kind, evidence in found.items():
        word, figures, source = astuple(evidence) if evidence else ("", "", "")
        columns |= {kind: word, f"{kind}_figures": figures, f"{kind}_source": source}
    return columns


def ledger_lines(table: pd.DataFrame) -> list[str]:
    """The ledger as text: lines for each claim, by device and evidence, and those that sum up."""
    lines = []
    for name, rows in table.groupby("id", sort=False):
        for row in rows.itertuples():
            figures = f"{row.ours} (paper {row.paper}), " if row.ours else ""
            source = f" [{row.label}]" if row.label else ""
            said = f"{row.section}: {figures}{row.why}{source}"
            lines.append(f"{row.verdict:<18}  {name:<28}  {said}")
        for kind in EVIDENCE:
            if word := rows[kind].iloc[0]:
                figures, source = rows[[f"{kind}_figures", f"{kind}_source"]].iloc[0]
                lines.append(f"{word:<18}  {name:<28}  {figures} [{source}]")
    return [*lines, *sums(table)]


def sums(table: pd.DataFrame) -> list[str]:
    """How many verdicts there are, a line for each class of evidence."""
    classes = [(COUNTED, table[(table["device"] == "") & (table["verdict"] != NOT_ATTEMPTED)])]
    devices = sorted(set(table["device"]) - {""})
    classes += [(f"on the {device}", table[table["device"] == device]) for device in devices]
    lines = [f"{name}: {_count(rows['verdict'], WORDS)}" for name, rows in classes]
    once = table.drop_duplicates("id")
    lines += [f"{name}: {_count(once[kind], EVIDENCE_WORDS)}" for kind, name in EVIDENCE.items()]
    lines.append(f"{len(once)} claims, of which {len(without_evidence(table))} have no evidence")
    return lines


def without_evidence(table: pd.DataFrame) -> list[str]:
    """The ids of claims that nothing judges, nor speaks for or against, but a CPU perhaps."""
    nothing = table["verdict"].isin((NOT_ATTEMPTED, INCONCLUSIVE))
    nothing &= (table[list(EVIDENCE)] == "").all(axis=1)
    return [name for name, rows in table.groupby("id", sort=False) if nothing[rows.index].all()]


def _count(words: pd.Series, order: Sequence[str]) -> str:
    counts = Counter(words)
    return ", ".join(f"{word} {counts[word]}" for word in order if counts[word]) or "nothing"
