"""The rendered pages: every claim once, each class of evidence in a line of its own."""

import html
import re

import pandas as pd

from tresnet_lite.book.claims_page import claims_page
from tresnet_lite.claims.ledger import EVIDENCE, load_claims
from tresnet_lite.claims.ledger import ledger as ledger_of

ROW = {
    "section": "§2.1",
    "kind": "speed",
    "sentence": "It is | fast.",
    "why": "because",
    "paper": "> 1×",
    "ours": "2×",
} | {f"{kind}{end}": "" for kind in EVIDENCE for end in ("", "_figures", "_source")}


def ledger(*rows):
    return pd.DataFrame([ROW | row for row in rows])


def cells(page, table):
    """The texts of the cells of the page's first table of a class, by row."""
    found = re.search(f'<table class="{table}">.*?</table>', page, re.DOTALL)[0]
    rows = re.findall("<tr.*?</tr>", found, re.DOTALL)
    plain = [re.findall("<t[hd]>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return [[html.unescape(re.sub("<[^>]*>", " ", cell)) for cell in row] for row in plain]


def test_every_claim_stands_on_the_page():
    page = claims_page(ledger_of([]))
    assert all(page.count(f'id="{claim.id}"') == 1 for claim in load_claims())


def test_a_line_for_each_class_of_evidence():
    gpu = {"id": "a", "verdict": "reproduced", "device": "NVIDIA V100"}
    gpu["label"] = "measured (NVIDIA V100, 2026-01-02, 01234567)"
    cpu = {"id": "a", "verdict": "does not hold here", "device": "AMD EPYC, 2 threads"}
    cpu["label"] = "measured (AMD EPYC, 2 threads, 2026-01-02, 01234567+)"
    known = {"published": "depends", "published_figures": "3 of 4 lines"}
    known["published_source"] = "published (timm's x)"
    none = {"id": "b", "verdict": "not attempted", "label": "", "device": "", "ours": ""}
    page = claims_page(ledger(gpu | known, cpu | known, none))
    head, counts = cells(page, "claims-matrix")
    assert [text.strip() for text in head] == [
        "subject",
        "claims",
        "counted",
        "AMD EPYC, 2 threads",
        "NVIDIA V100",
        "predicted for a V100",
        "on others' GPUs",
    ]
    stripped = [" ".join(text.split()) for text in counts]
    assert stripped[1:] == ["2", "", "(✘) 1", "✔ 1", "", "½ 1"]
    _, a, b = cells(page, "claims")
    assert a[0].startswith("It is | fast.") and a[1] == "> 1×"
    said = " ".join(a[2].split())
    assert "✔ reproduced : 2×, NVIDIA V100 because; measured (NVIDIA V100, 2026-01-02" in said
    assert "½ depends : 3 of 4 lines, on others' GPUs published (timm's x)" in said
    assert "– not attempted because" in " ".join(b[2].split())
    assert 'data-words="reproduced&#124;does not hold here&#124;depends"' in page


def test_what_no_device_attempted_is_not_said_where_others_did():
    row = {"id": "a", "verdict": "not attempted", "label": "", "device": "", "ours": ""}
    row |= {"predicted": "holds", "predicted_figures": "1.2×", "predicted_source": "counted"}
    _, a = cells(claims_page(ledger(row)), "claims")
    assert "not attempted" not in a[2] and "✔ holds : 1.2×" in " ".join(a[2].split())
