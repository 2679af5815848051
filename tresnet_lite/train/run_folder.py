"""A run's folder: checkpoints, replaced in one stroke, and what the run is, for it to go on."""

from __future__ import annotations

import json
import reprlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tresnet_lite.checkpoints import read_tensors, unwrap, without_secrets
from tresnet_lite.records.files import exclusive, replacing
from tresnet_lite.train.networks import LAST, rebuild_network

BEST, LOG = "best.pt", "log.jsonl"
EXACT = "identity"  # the checkpoint's entry that a resumed run must equal
TRAINED = "trained"  # its entry with the images trained on: `Data.trained`


class ResumeError(ValueError):
    """A folder that holds another run than the one to resume, or an unreadable checkpoint."""


class RunFolder:
    """The folder of one run.

    last.pt holds everything to go on from, best.pt the weights of the best epoch; both have the
    evaluated weights as "model", what the run is as "identity", and, of images that an evaluation
    could meet again, which it was trained on as "trained".
    """

    def __init__(
        self, path: str | Path, identity: Mapping[str, Any], trained: Tensor | None = None
    ) -> None:
        self.path, self.identity = Path(path), plain(identity)
        self.about = {EXACT: self.identity} | ({} if trained is None else {TRAINED: trained})

    def save(self, state: Mapping[str, Any], name: str = LAST) -> None:
        """Write a checkpoint; the earlier one stays whole until this one is."""
        write_run(self.path / name, {**state, **self.about})

    def last(self, device: torch.device) -> dict[str, Any] | None:
        """The checkpoint to go on from; None in a new folder.

        Raises:
            ResumeError: it is another run's, and in what it differs; or a file of that name, or of
                the best checkpoint's, is no run's and would be lost.
        """
        if (self.path / BEST).exists():
            read_run(self.path / BEST)
        if not (self.path / LAST).exists():
            return None
        checkpoint = read_run(self.path / LAST, device)
        if lines := differences(checkpoint[EXACT], self.identity):
            listed = "".join(f"\n  {line}" for line in lines)
            advice = "Give the same settings to go on with it, or another --out for a new run"
            raise ResumeError(f"{self.path} holds another run:{listed}\n{advice}.")
        return checkpoint

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder against another process; the system lets go of it when this one dies."""
        why = f"another process trains in {self.path}"
        busy = ResumeError(f"{why}: wait for it, or give another --out")
        with exclusive(self.path / ".lock", busy):
            for checkpoint in (LAST, BEST):  # that a killed run was just writing
                for unfinished in filter(Path.is_dir, self.path.glob(f".{checkpoint}.*")):
                    if {path.name for path in unfinished.iterdir()} <= {checkpoint}:
                        shutil.rmtree(unfinished, ignore_errors=True)
            yield


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON would give it back: tuples are lists."""
    return json.loads(json.dumps(settings))


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The entries that differ, nested ones by their path: "recipe.lr: 0.4 there, 0.2 here"."""
    lines = []
    for key in {**old, **new}:
        before, after = (public(settings.get(key)) for settings in (old, new))
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key}: {reprlib.repr(before)} there, {reprlib.repr(after)} here")
    return lines


def public(value: Any) -> Any:
    """A setting without the secrets of a URL, which old checkpoints hold."""
    return without_secrets(value) if isinstance(value, str) else value


def write_run(path: Path, content: Mapping[str, Any]) -> None:
    """Save a checkpoint; a crash leaves the old file or the new one."""
    with replacing(path) as new:
        torch.save(dict(content), new)


def read_run(path: Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """A checkpoint of a run. Raises ResumeError if the file is not one."""
    try:
        checkpoint = read_tensors(path, device)
    except ValueError as error:
        raise ResumeError(str(error)) from error
    if not all(isinstance(checkpoint.get(entry), Mapping) for entry in (EXACT, "model")):
        what = "is not a checkpoint of a run of `python -m tresnet_lite.train`"
        raise ResumeError(f"{path} {what}: give another file, or another --out for a new run")
    return dict(checkpoint)


def load_trained(
    path: str | Path, device: str | torch.device = "cpu"
) -> tuple[nn.Module, dict[str, Any]]:
    """The network of a run, from its folder (the last weights) or a checkpoint, and what it was.

    Returns: the network in evaluation mode; a dict with "recipe", "model", "data", "seed", and as
        "trained" the `content_key` of each image that an evaluation must leave out.

    Raises:
        ResumeError: no checkpoint of a run.
    """
    path = Path(path)
    file = path / LAST if path.is_dir() else path
    if not file.exists():
        raise ResumeError(f"there is no checkpoint {file}")
    checkpoint = read_run(file, device)
    identity = checkpoint[EXACT]
    with whole(file):
        if not all(isinstance(identity[part], Mapping) for part in ("recipe", "model", "data")):
            raise ValueError("it does not describe its run")
        network = rebuild_network(identity["model"], unwrap(checkpoint["model"]))
        trained = frozenset(checkpoint.get(TRAINED, torch.empty(0)).tolist())
    return network.to(device).eval(), {**identity, TRAINED: trained}


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """Turn what a checkpoint of missing, made-up or misplaced entries raises into a ResumeError."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        why = " ".join(str(error).split())[:500] or type(error).__name__
        raise ResumeError(f"{path} is not a whole checkpoint: {why}") from error
