"""A checkpoint by its path, URL or hub name: fetched, checked, and read as plain tensors.

Weights may come from anyone. So no code of theirs runs, reading one takes no more memory than its
file, and what a URL says about its user is not kept.
"""

from tresnet_lite.checkpoints.download import user_cache
from tresnet_lite.checkpoints.sources import read_checkpoint
from tresnet_lite.checkpoints.state import StateDict, unwrap
from tresnet_lite.checkpoints.tensors import holds_numbers, read_tensors
from tresnet_lite.checkpoints.urls import file_name, public_command, without_secrets

__all__ = [
    "StateDict",
    "file_name",
    "holds_numbers",
    "public_command",
    "read_checkpoint",
    "read_tensors",
    "unwrap",
    "user_cache",
    "without_secrets",
]
