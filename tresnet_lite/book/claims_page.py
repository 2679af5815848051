"""The page of claims: how they stand by subject and class of evidence, then each by its chapter.

The page is whole without a script; `book/static/claims.js` filters it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from string import Template

import pandas as pd

from tresnet_lite.book.chapters import judging, source_link
from tresnet_lite.claims.evidence import DEPENDS, FAILS, HOLDS, UNDECIDED
from tresnet_lite.claims.ledger import COUNTED, EVIDENCE, KINDS, sums
from tresnet_lite.claims.verdict import (
    DIFFERS,
    FAILS_HERE,
    HOLDS_HERE,
    INCONCLUSIVE,
    NOT_ATTEMPTED,
    REPRODUCED,
)
from tresnet_lite.records import store
from tresnet_lite.show.text import as_html, as_markdown

MARKS = {
    REPRODUCED: "✔",
    DIFFERS: "✘",
    HOLDS_HERE: "(✔)",
    FAILS_HERE: "(✘)",
    INCONCLUSIVE: "≈",
    NOT_ATTEMPTED: "–",
}
EVIDENCE_MARKS = {HOLDS: "✔", FAILS: "✘", DEPENDS: "½", UNDECIDED: "≈"}
OTHERS = {"transfer": "Transfer learning (§4)", "text": "The text of other sections"}

FORM = Template("""\
```{raw} html
<form id="claims-filter" aria-label="Which claims are shown">
<label for="claims-text">Search<input id="claims-text" name="text" type="search"></label>
<label for="claims-kind">About<select id="claims-kind" name="kind">$kinds</select></label>
<label for="claims-word">With<select id="claims-word" name="word">$words</select></label>
<p id="claims-shown" role="status"></p>
</form>
<script defer src="../_static/claims.js"></script>
```""")


def claims_page(rows: pd.DataFrame) -> str:
    """The claims in MyST Markdown.

    Args:
        rows: as `claims.ledger.ledger` gives them.
    """
    rows = rows.assign(subject=[_subject(name) for name in rows["id"]])
    subjects = sorted(set(rows["subject"]), key=_place)
    parts = ["\n".join(f"- {as_markdown(line)}" for line in sums(rows)), _devices(rows)]
    parts += ["## By subject", _matrix(rows, subjects), "## By chapter", _form()]
    for subject in subjects:
        own = rows[rows["subject"] == subject]
        parts += [f"### {as_markdown(subject)}", _link(own["id"].iloc[0]), _table(own)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _subject(claim: str) -> str:
    chapter = judging(claim)
    return chapter.title if chapter else OTHERS.get(claim.partition("-")[0], OTHERS["text"])


def _place(subject: str) -> tuple[int, str]:
    """Chapters by their numbers, then the rest."""
    number = subject.partition(".")[0]
    return (int(number) if number.isdecimal() else 100, subject)


def _link(claim: str) -> str:
    chapter = judging(claim)
    if not chapter:
        return ""
    return f"Judged in [chapter {chapter.number}](../notebooks/{chapter.stem}.ipynb)."


def _devices(rows: pd.DataFrame) -> str:
    """The devices that judged something, and where their records lie."""
    committed = {r.provenance.device for r in store.committed()}
    link = f"[in the repository]({source_link('data/measured')})"
    here = "of this machine, not committed"
    places = {d: link if d in committed else here for d in sorted(set(rows["device"]) - {""})}
    return "\n".join(f"- {as_markdown(d)}: records {place}" for d, place in places.items())


# --- how many, by subject


def _matrix(rows: pd.DataFrame, subjects: Iterable[str]) -> str:
    """A row for each subject, a column for each class of evidence."""
    devices = sorted(set(rows["device"]) - {""})
    heads = ["subject", "claims", "counted", *devices, *EVIDENCE.values()]
    lines = []
    for subject in subjects:
        own = rows[rows["subject"] == subject]
        once = own.drop_duplicates("id")
        judged = [own[(own["device"] == "") & (own["verdict"] != NOT_ATTEMPTED)]]
        judged += [own[own["device"] == device] for device in devices]
        cells = [_counts(part["verdict"], MARKS) for part in judged]
        cells += [_counts(once[kind], EVIDENCE_MARKS) for kind in EVIDENCE]
        lines.append([as_html(subject), str(len(once)), *cells])
    return _html_table([as_html(head) for head in heads], lines, "claims-matrix")


def _counts(words: pd.Series, marks: Mapping[str, str]) -> str:
    counts = Counter(words)
    return " ".join(
        f'<span title="{word}">{mark}&nbsp;{counts[word]}</span>'
        for word, mark in marks.items()
        if counts[word]
    )


def _html_table(heads: Iterable[str], lines: Iterable[Iterable[str]], name: str) -> str:
    head = "".join(f"<th>{text}</th>" for text in heads)
    body = "\n".join(f"<tr>{''.join(f'<td>{c}</td>' for c in line)}</tr>" for line in lines)
    table = (
        f'<table class="{name}"><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>'
    )
    return f"```{{raw}} html\n{table}\n```"


# --- each claim


def _form() -> str:
    words = {**MARKS, **EVIDENCE_MARKS}
    return FORM.substitute(kinds=_options(KINDS), words=_options(words))


def _options(values: Iterable[str]) -> str:
    return '<option value="">all</option>' + "".join(
        f"<option>{value}</option>" for value in values
    )


def _table(rows: pd.DataFrame) -> str:
    lines = [_claim_row(claim) for _, claim in rows.groupby("id", sort=False)]
    head = "<thead><tr><th>claim</th><th>paper</th><th>what we know</th></tr></thead>"
    body = "\n".join(lines)
    return _raw(f'<table class="claims">{head}\n<tbody>\n{body}\n')


def _raw(table: str) -> str:
    return f"```{{raw}} html\n{table}</tbody></table>\n```"


def _claim_row(rows: pd.DataFrame) -> str:
    """A claim: its sentence and place, what the paper prints, and a line for each evidence."""
    first = rows.iloc[0]
    found = [_verdict(row) for row in rows.itertuples() if row.device or not _known(first)]
    found += [_evidence(first, kind) for kind in EVIDENCE if first[kind]]
    words = [*rows["verdict"], *(first[kind] for kind in EVIDENCE if first[kind])]
    claim, name = as_html(first["sentence"]), as_html(first["id"])
    about = f"<small><code>{name}</code>, {as_html(first['section'])}</small>"
    data = f'data-kind="{as_html(first["kind"])}" data-words="{as_html("|".join(words))}"'
    cells = [f"{claim}<br>{about}", as_html(first["paper"] or "–"), "".join(found)]
    return f'<tr id="{name}" {data}>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _known(first: pd.Series) -> bool:
    """Is there evidence, so that "not attempted" without a device says nothing?"""
    return first["verdict"] == NOT_ATTEMPTED and any(first[kind] for kind in EVIDENCE)


def _verdict(row: object) -> str:
    where = row.device or ("" if row.verdict == NOT_ATTEMPTED else COUNTED)
    source = "; ".join(filter(None, (row.why, row.label)))
    return _line(MARKS[row.verdict], row.verdict, row.ours, where, source)


def _evidence(first: pd.Series, kind: str) -> str:
    word, figures, source = (first[f"{kind}{end}"] for end in ("", "_figures", "_source"))
    return _line(EVIDENCE_MARKS[word], word, figures, EVIDENCE[kind], source)


def _line(mark: str, word: str, figures: str, where: str, source: str) -> str:
    """One class of evidence: the word, the figures and where; the reason can be opened."""
    said = f"{mark} <b>{as_html(word)}</b>"
    rest = ", ".join(filter(None, (figures, where)))
    said += f": {as_html(rest)}" if rest else ""
    return f"<details><summary>{said}</summary><small>{as_html(source)}</small></details>"
