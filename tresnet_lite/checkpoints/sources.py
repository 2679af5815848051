"""Where a checkpoint comes from: a URL, a file, or a name on the Hugging Face hub."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tresnet_lite.checkpoints.download import fetch
from tresnet_lite.checkpoints.tensors import read_tensors
from tresnet_lite.checkpoints.urls import is_url, without_secrets

HUB_NAME = re.compile(r"(?:hf[-_]hub:)?([\w.-]+/[\w.-]+)")
# A missing file of such a name is no name on the hub.
FILES = (".pt", ".pth", ".safetensors", ".bin", ".ckpt", ".tar", ".zip")


def read_checkpoint(source: str | Path) -> Mapping[str, Any]:
    """What a path, a URL (with ``#sha256=…`` it is checked) or a hub name holds, as saved.

    Raises:
        FileNotFoundError: no such file, or a folder.
        ConnectionError: a URL or hub name that cannot be reached from here.
        ValueError: what was found is not a checkpoint of plain tensors.
    """
    name = str(source)
    if is_url(name):
        return _read_url(name)
    path = Path(source).expanduser()
    if path.is_file():
        return read_tensors(path)
    if name and path.is_dir():
        files = sorted(file.name for file in path.iterdir() if file.suffix in FILES)
        holds = f"such as {files[0]}" if files else "but it holds none"
        raise FileNotFoundError(f"{name!r} is a folder: give a file of weights in it, {holds}")
    on_hub = HUB_NAME.fullmatch(name)
    if on_hub and path.suffix not in FILES and not path.parent.is_dir():
        return read_tensors(_from_hub(on_hub[1]))
    raise FileNotFoundError(
        f"no file {without_secrets(name)!r}; a hub name looks like timm/tresnet_m.miil_in1k"
        + _neighbours(path)
    )


def _read_url(url: str) -> Mapping[str, Any]:
    path = fetch(url)
    try:
        return read_tensors(path, name=without_secrets(url))
    except ValueError:
        path.unlink(missing_ok=True)  # the server may have it right tomorrow
        raise


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return f" (and no folder {without_secrets(str(path.parent))!r})"
    names = get_close_matches(path.name, [p.name for p in path.parent.iterdir()], n=3)
    return f"; in that folder: {', '.join(names)}" if names else ""


def _from_hub(repository: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise ImportError("hub names need huggingface_hub: pip install huggingface_hub") from error
    try:
        return Path(hf_hub_download(repository, "model.safetensors"))
    except OSError as error:  # of every network failure, and of the hub's own errors
        raise ConnectionError(
            f"{repository} is not a file, and the hub's weights cannot be fetched from here"
            f" ({type(error).__name__}). With a network it is downloaded and cached; without one,"
            " copy the file and give its path."
        ) from error
