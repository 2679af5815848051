"""One training run as the command line names it."""

from __future__ import annotations

import argparse
import os
import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from tresnet_lite.model import TResNetConfig
from tresnet_lite.records.text import printable, say
from tresnet_lite.train import processes
from tresnet_lite.train.data import NAMED, Data, load_data
from tresnet_lite.train.engine import NonFiniteLoss, Result, train
from tresnet_lite.train.networks import build_network, initialise_from
from tresnet_lite.train.reading import ReaderLost, TooManyUnreadable
from tresnet_lite.train.recipe import Recipe, make_recipe
from tresnet_lite.train.run_folder import BEST, LAST, LOG, ResumeError

# data → recipe; for all others "imagenet"
FITTING = {"digits": "digits", "cifar10": "cifar", "cifar100": "cifar"}


def work(options: argparse.Namespace) -> int:
    """Train what the options name, in this process or those that train with it; the exit code."""
    try:
        with processes.joined(options.device) as device:
            return run(options, device)
    except KeyboardInterrupt as stopped:  # before the first step it says nothing
        say(f"interrupted: {str(stopped) or 'the same command goes on'}", file=sys.stderr)
        return 130
    except torch.OutOfMemoryError as error:
        advice = "split each process's batch into parts (--accumulate 2, 4 …)"
        say(f"out of memory: {advice}: {error}", file=sys.stderr)
        return 1
    except (NonFiniteLoss, ReaderLost, TooManyUnreadable) as failure:
        say(f"stopped: {failure}", file=sys.stderr)
        return 1
    except (ValueError, OSError, ImportError, ResumeError) as error:  # misuse, in a line
        say(f"error: {error}", file=sys.stderr)
        return 2


def run(options: argparse.Namespace, device: torch.device) -> int:
    """Build what the options name, train it, and say what came of it."""
    first = processes.rank() == 0
    tell = say if first else (lambda line: None)
    name = options.recipe or FITTING.get(options.data, "imagenet")
    recipe = make_recipe(name, **overrides(options, Recipe))
    if options.root and options.data not in NAMED:
        raise ValueError(f"--root is for data by name ({', '.join(NAMED)}), not for a folder")
    data = load_once(options.data, options.root)
    torch.manual_seed(options.seed)
    sizes = {"num_classes": len(data.classes), "in_chans": data.channels}
    network = build_network(options.model, **sizes, **overrides(options, TResNetConfig))
    out = run_folder(options)
    if options.init and not (out / LAST).exists():
        tell(initialise_from(network, options.init))
    what = f"{options.model}, {sum(p.numel() for p in network.parameters()):,} parameters"
    images = f"{len(data.train):,} images to train, {len(data.test):,} to test"
    tell(printable(f"{what}, on {data.name}: {images} → {out}"))
    names = ("init", "seed", "accumulate", "synchronise", "save_minutes", "log_every", "unreadable")
    settings = {name: getattr(options, name) for name in names}
    settings["workers"] = default_workers(data) if options.workers is None else options.workers
    settings["tensorboard"] = not options.no_tensorboard
    where = {"out": out, "name": options.model, "device": device}
    result = train(network, data, recipe, **where, **settings, tell=tell)
    if first:
        say(summary(result, options.data))
    return 0


def run_folder(options: argparse.Namespace) -> Path:
    """Where the run keeps its files: as given, else a folder named by data and model."""
    words = f"{Path(options.data).name}_{options.model}".lower()
    return options.out or Path("runs", re.sub(r"\W+", "_", words).strip("_"))


def load_once(source: str, root: Path | None) -> Data:
    """The data, which the first of several processes downloads before the others look."""
    first = processes.rank() == 0
    if not first:
        processes.wait()
    data = load_data(source, root=root, download=first)
    if first:
        processes.wait()
    return data


def default_workers(data: Data) -> int:
    """Reading processes: none for the small digits, else this training process's processors."""
    if data.name == "digits":
        return 0
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(12, here // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


def summary(result: Result, source: str) -> str:
    """What a run ends with."""
    r, last = result, result.out / LAST
    return (
        f"test accuracy {r.top1:.2f} % (top-5 {r.top5:.2f} %) on {r.images:,} images,"
        f" and without the weights' moving average {r.raw_top1:.2f} %\n"
        f"best epoch {r.best_epoch}: {r.best_top1:.2f} %, but chosen on these images\n"
        f"checkpoints: {last}, {r.out / BEST}; curves: {r.out / LOG}\n"
        f"evaluate it: python -m tresnet_lite.evaluate --weights {last} --data {source}"
    )


def overrides(options: argparse.Namespace, kind: type) -> dict[str, Any]:
    """The fields of a dataclass that the command line names, as texts."""
    texts = {field.name: getattr(options, field.name) for field in fields(kind)}
    return {name: text for name, text in texts.items() if text is not None}
