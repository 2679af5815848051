"""The rendered pages: every claim once, each verdict under its device, tables that Markdown can
read.
"""

import pandas as pd

from tresnet_lite.book.parts import claims_tables
from tresnet_lite.claims.ledger import ledger as ledger_of
from tresnet_lite.claims.ledger import load_claims

ROW = {
    "section": "§2.1",
    "kind": "speed",
    "sentence": "It is | fast.",
    "why": "because",
    "paper": "> 1×",
    "ours": "2×",
}


def ledger(*rows):
    return pd.DataFrame([ROW | row for row in rows])


def table_rows(page):
    return [
        line.replace(r"\|", "/").strip("| ").split(" | ")
        for line in page.splitlines()
        if line.startswith("| ")
    ]


def test_every_claim_stands_on_the_page():
    page = claims_tables(ledger_of([]))
    assert all(page.count(f'id="{claim.id}"') == 1 for claim in load_claims())


def test_a_column_for_each_device():
    page = claims_tables(
        ledger(
            {
                "id": "a",
                "verdict": "reproduced",
                "label": "measured (NVIDIA V100, 2026-01-02, 01234567)",
                "device": "NVIDIA V100",
            },
            {
                "id": "a",
                "verdict": "differs",
                "label": "measured (AMD EPYC, 2 threads, 2026-01-02, 01234567+)",
                "device": "AMD EPYC, 2 threads",
            },
            {"id": "b", "verdict": "not attempted", "label": "", "device": "", "ours": ""},
        )
    )
    head, _, a, b = table_rows(page)
    assert head == [
        "claim",
        "paper",
        "by counting, or why not",
        "AMD EPYC, 2 threads",
        "NVIDIA V100",
    ]
    assert a[0] == 'It is / fast. <span id="a"><code>a</code></span>'
    assert (
        a[2] == ""
        and a[3].startswith("✘ **differs** 2×")
        and a[4].startswith("✔ **reproduced** 2×")
    )
    assert "01234567+" in a[3]
    assert b[2] == "– **not attempted**: because"
    assert (
        "2 claims, 3 verdicts: ✔ reproduced 1, ✘ differs 1, (✔) holds here 0,"
        " (✘) does not hold here 0, ≈ inconclusive 0, – not attempted 1." in page
    )
