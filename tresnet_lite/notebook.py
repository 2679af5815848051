"""What every chapter needs around its own subject: tables, claims, the photograph, records, the
footer.
"""

from __future__ import annotations

import html
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch

from tresnet_lite import report
from tresnet_lite.bench import Record, append, collect
from tresnet_lite.claims import Claim, load_claims
from tresnet_lite.paper import DATA
from tresnet_lite.profiles import Profile

if TYPE_CHECKING:
    import pandas as pd

# timm's downloads would like a progress bar made of widgets; without ipywidgets they print one line
# instead.
warnings.filterwarnings("ignore", message="IProgress not found")


@dataclass(frozen=True)
class Html:
    """What a cell shows: HTML, and the text that stands for it where there is none."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def table(frame: pd.DataFrame, formats: Mapping[str, str], note: str = "") -> Html:
    """A table of the columns that `formats` names: "heading|column" → number format, as
    `report.markdown`.

    Numbers are set to the right, a missing value shows as a dash, and `note` stands below in small
    letters.
    """
    import pandas as pd

    head, body = [], [[] for _ in range(len(frame))]
    for key, spec in formats.items():
        heading, column = key.split("|")
        side = "right" if pd.api.types.is_numeric_dtype(frame[column]) else "left"
        head.append(_cell("th", heading, side))
        for row, value in zip(body, frame[column], strict=True):
            row.append(_cell("td", "–" if pd.isna(value) else format(value, spec), side))
    rows = "".join(f"<tr>{''.join(row)}</tr>" for row in body)
    shown = (
        "<table"
        f' class="dataframe"><thead><tr>{"".join(head)}</tr></thead><tbody>{rows}</tbody></table>'
    )
    small = f'<p style="text-align:center"><small>{html.escape(note)}</small></p>' if note else ""
    return Html(shown + small, f"{report.markdown(frame, formats)}\n\n{note}".strip())


def _cell(tag: str, text: str, side: str) -> str:
    return f'<{tag} style="text-align:{side};padding:0.2em 0.6em">{html.escape(text)}</{tag}>'


def source(records: Sequence[Record], profile: Profile) -> str:
    """Where a run's numbers come from: device, date, commit, how it ran, and what to beware of."""
    c = records[0].conditions
    thin = f", networks of width {c.width}" if c.width else ""
    ran = f"{c.resolution} px, batches of {c.batch}, {c.dtype}{thin}"
    return "; ".join(filter(None, (report.label(records[0]), ran, profile.caveat)))


def keep(records: Iterable[Record], profile: Profile) -> None:
    """Append a run's records to the file that `make reproduce` names, or else to the one it would
    name.
    """
    own = DATA.parent / "build" / "records" / f"{profile.name}.jsonl"
    append(os.environ.get(report.RECORDS) or own, *records)


def claims(*prefixes: str) -> Html:
    """What the paper claims: the claims whose ids begin with one of `prefixes`."""
    import pandas as pd

    columns = {"claim|id": "", "paper|section": "", "it says|sentence": ""}
    return table(pd.DataFrame(map(asdict, _claims(prefixes))), columns)


def verdicts(records: Sequence[Record], *prefixes: str) -> Html:
    """What the records say to the same claims: a row for each claim and device."""
    import pandas as pd

    found = [
        {"id": claim.id} | asdict(v)
        for claim in _claims(prefixes)
        for v in claim.verdicts(list(records))
    ]
    columns = ("claim|id", "verdict|word", "paper|paper", "ours|ours", "why|why")
    labels = dict.fromkeys(row["label"] for row in found if row["label"])
    return table(pd.DataFrame(found), dict.fromkeys(columns, ""), note="; ".join(labels))


def _claims(prefixes: tuple[str, ...]) -> list[Claim]:
    chosen = [claim for claim in load_claims() if claim.id.startswith(prefixes)]
    if not chosen:
        raise ValueError(f"no claim's id begins with {' or '.join(prefixes)}")
    return chosen


def speeds(records: Iterable[Record], *, suite: str, case: str, base: str) -> pd.DataFrame:
    """Images a second of one run's case, and their ratio to the model `base` in the same phase.

    Columns: model, phase, measured, q1, q3, ratio, ratio_q1, ratio_q3, label.
    """
    import pandas as pd

    chosen = [r for r in records if (r.suite, r.case, r.metric) == (suite, case, "throughput")]
    bases = {r.phase: r.value.median for r in chosen if r.model == base}
    rows = []
    for r in chosen:
        v, unit = r.value, bases[r.phase]
        row = {"model": r.model, "phase": r.phase, "measured": v.median, "q1": v.q1, "q3": v.q3}
        row |= {"ratio": v.median / unit, "ratio_q1": v.q1 / unit, "ratio_q3": v.q3 / unit}
        rows.append(row | {"label": report.label(r)})
    return pd.DataFrame(rows)


def photograph(size: int = 224) -> torch.Tensor:
    """A photograph, (1, 3, size, size) in [0, 1]: Grace Hopper, an official portrait of the US Navy
    (public domain).

    It comes with matplotlib.
    """
    import numpy as np
    from matplotlib.cbook import get_sample_data
    from PIL import Image

    with get_sample_data("grace_hopper.jpg") as file, Image.open(file) as image:
        side = min(image.size)
        square = image.convert("RGB").resize(
            (size, size), Image.Resampling.BICUBIC, box=(0, 0, side, side)
        )
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)[None].float() / 255


def footer(device: str) -> Html:
    """Where this page's numbers come from: device, versions, commit, date."""
    p = collect(device)
    versions = {
        "torch": p.torch,
        "CUDA": p.cuda,
        "cuDNN": p.cudnn,
        "driver": p.driver,
        "timm": p.timm,
    }
    versions["Python"] = p.python
    named = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    commit = p.commit + (" with changes" if p.dirty else "")
    text = f"Measured on {p.device}, {p.date}. tresnet_lite {p.package} ({commit}), {named}."
    return Html(f"<p><small>{html.escape(text)}</small></p>", text)
