"""The results that the README shows, in Markdown."""

from __future__ import annotations

from tresnet_lite.claims.verdict import BY_COUNTING
from tresnet_lite.experiments.stems import IN_RESNET50
from tresnet_lite.findings.sizes import model_sizes
from tresnet_lite.records import store
from tresnet_lite.show.html import markdown

SIZE_COLUMNS = ("model", "parameters_m", "without_classifier", "paper_parameters")
SIZE_COLUMNS += ("macs", "paper_macs")
STEM_COLUMNS = ("model", "phase", "paper", "measured", "paper_ratio", "ratio", "label")


def readme() -> str:
    """The README's results: sizes by counting, and the stem's speeds once records are committed."""
    sources = f"At 224 px. Ours, this package's ResNet50 included: {BY_COUNTING}. "
    sources += "Paper: quoted (Tables 1 and 2)."
    parts = [markdown(model_sizes(), *SIZE_COLUMNS), sources]
    stems = IN_RESNET50.every_run(store.committed()).dropna(subset="measured")
    if len(stems):
        sources = "Stems of this package's ResNet50; ratios to conv7x7. "
        sources += "Paper: quoted (Tables 1 and 4; V100, mixed precision)."
        parts += [markdown(stems, *STEM_COLUMNS, headings={"model": "stem of ResNet50"}), sources]
    return "\n\n".join(parts)
