"""What every chapter needs around its own subject: tables, claims, a photograph, the footer."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image

from tresnet_lite.claims.ledger import Claim, load_claims
from tresnet_lite.profiles import Profile
from tresnet_lite.records import Record, collect
from tresnet_lite.show.html import Html, table
from tresnet_lite.show.text import as_html
from tresnet_lite.train.pictures import open_picture

# timm's downloads ask for a progress bar of widgets; without ipywidgets they print a line instead.
warnings.filterwarnings("ignore", message="IProgress not found")


def source(records: Sequence[Record], profile: Profile) -> str:
    """Where a run's numbers come from: device, date, commit, how it ran, and what to beware of."""
    c = records[0].conditions
    thin = f", networks of width {c.width}" if c.width else ""
    ran = f"{c.resolution} px, batches of {c.batch}, {c.dtype}{thin}"
    return "; ".join(filter(None, (records[0].label, ran, profile.caveat)))


def claims(*prefixes: str) -> Html:
    """What the paper claims: the claims whose ids begin with one of `prefixes`."""
    return table(pd.DataFrame(map(asdict, _claims(prefixes))), "id", "section", "sentence")


def verdicts(records: Sequence[Record], *prefixes: str) -> Html:
    """What the records say to the same claims: a row for each claim and device."""
    rows = [
        {"id": claim.id} | asdict(verdict)
        for claim in _claims(prefixes)
        for verdict in claim.verdicts(list(records))
    ]
    frame = pd.DataFrame(rows).rename(columns={"word": "verdict", "paper": "asserted"})
    sources = "; ".join(dict.fromkeys(filter(None, frame["label"])))
    return table(frame, "id", "verdict", "asserted", "ours", "why", note=sources)


def _claims(prefixes: tuple[str, ...]) -> list[Claim]:
    claims = [claim for claim in load_claims() if claim.id.startswith(prefixes)]
    if not claims:
        raise ValueError(f"no claim's id begins with {' or '.join(prefixes)}")
    return claims


def photograph(size: int = 224) -> torch.Tensor:
    """Grace Hopper, (1, 3, size, size) in [0, 1].

    An official portrait of the US Navy (public domain), which comes with matplotlib.
    """
    image = open_picture(get_sample_data("grace_hopper.jpg", asfileobj=False))
    side = min(image.size)
    square = image.resize((size, size), Image.Resampling.BICUBIC, (0, 0, side, side))
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)[None].float() / 255


def footer(device: str) -> Html:
    """Where this page's numbers come from: device, versions, commit, date."""
    p = collect(device)
    versions = {"torch": p.torch, "CUDA": p.cuda, "cuDNN": p.cudnn, "driver": p.driver}
    versions |= {"timm": p.timm, "Python": p.python}
    software = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    commit = p.commit + (" with changes" if p.dirty else "")
    text = f"Measured on {p.device}, {p.date}. tresnet_lite {p.package} ({commit}), {software}."
    return Html(f"<p><small>{as_html(text)}</small></p>", text)
