"""What was printed: the paper's tables, and what others published about its networks."""

from tresnet_lite.paper.tables import (
    MODELS,
    NAMES,
    NETWORKS,
    paper_ratio,
    paper_table,
    paper_value,
)

__all__ = ["MODELS", "NAMES", "NETWORKS", "paper_ratio", "paper_table", "paper_value"]
