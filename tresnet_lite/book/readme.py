"""The results that the README shows, in Markdown."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from tresnet_lite.claims.ledger import ledger
from tresnet_lite.claims.verdict import BY_COUNTING, DIFFERS, REPRODUCED, WORDS
from tresnet_lite.findings.sizes import model_sizes
from tresnet_lite.records import store
from tresnet_lite.show.html import markdown

SIZE_COLUMNS = ("model", "parameters_m", "without_classifier", "paper_parameters")
SIZE_COLUMNS += ("macs", "paper_macs")
JUDGED = (REPRODUCED, DIFFERS)
VERDICT_COLUMNS = ("sentence", "asserted", "ours", "verdict")


def readme() -> str:
    """The README's results: the paper's speeds judged on GPUs, all verdicts counted, sizes."""
    records = store.committed()
    rows = ledger(records)
    parts = []
    for device in sorted({r.provenance.device for r in records if r.provenance.cuda}):
        parts += _of_gpu(device, rows[rows["device"] == device])
    counts = Counter(rows["verdict"])
    sums = ", ".join(f"{word} {counts[word]}" for word in WORDS)
    parts.append(f"All devices, and counting: {rows['id'].nunique()} claims; {sums}.")
    sources = f"At 224 px. Ours, this package's ResNet50 included: {BY_COUNTING}. "
    sources += "Paper: quoted (Tables 1 and 2)."
    return "\n\n".join([*parts, markdown(model_sizes(), *SIZE_COLUMNS), sources])


def _of_gpu(device: str, rows: pd.DataFrame) -> list[str]:
    """A GPU's verdicts on the paper's claims, and where the numbers come from."""
    judged = rows[rows["verdict"].isin(JUDGED)]
    judged = judged.rename(columns={"paper": "asserted"})
    counts = Counter(rows["verdict"])
    left = ", ".join(f"{count} {word}" for word, count in counts.items() if word not in JUDGED)
    sources = "Ratios with their intervals, of 95 % where three processes or more timed both; "
    sources += f"{', '.join(sorted(set(rows['label'])))}. "
    sources += f"Other claims about its speed: {left}."
    title = f"**What the paper says of speed, on the {device}:**"
    return [title, markdown(judged, *VERDICT_COLUMNS), sources] if len(judged) else []
