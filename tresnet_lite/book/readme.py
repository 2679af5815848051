"""The results that the README shows, in Markdown."""

from __future__ import annotations

import pandas as pd

from tresnet_lite.claims.verdict import COUNTED
from tresnet_lite.experiments.stems import IN_RESNET50
from tresnet_lite.findings.sizes import model_sizes
from tresnet_lite.records import store
from tresnet_lite.show.html import markdown


def readme() -> str:
    """The README's results: sizes by counting, and the stem's speeds once records are committed."""
    parts = [
        markdown(
            model_sizes(),
            {
                "Model|model": "",
                "Parameters, M|parameters": ".3f",
                "without classifier|without_classifier": ".3f",
                "paper, M|paper_parameters": ".1f",
                "MACs at 224 px, G|macs": ".3f",
                "paper, G|paper_macs": ".1f",
            },
        ),
        f"Ours: {COUNTED}. Paper: quoted (Tables 1 and 2).",
    ]
    stems = IN_RESNET50.every_run(store.committed()).dropna(subset="measured")
    if len(stems):
        parts += [_stem_markdown(stems), "Paper: quoted (Tables 1 and 4; V100, mixed precision)."]
    return "\n\n".join(parts)


def _stem_markdown(stems: pd.DataFrame) -> str:
    formats = {
        "Stem of ResNet50|model": "",
        "Phase|phase": "",
        "paper, img/s|paper": ".0f",
        "to 7×7|paper_ratio": ".3f",
        "measured, img/s|measured": ".4g",
        "to 7×7|ratio": ".3f",
        "where|label": "",
    }
    return markdown(stems, formats)
