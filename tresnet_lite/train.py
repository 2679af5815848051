"""Train a network by the paper's recipe (§3.1).

    python -m tresnet_lite.train --width 16 --depths 1,1,2,1    digits on a CPU, in minutes
    python -m tresnet_lite.train --data cifar10 --model 0       the first rung of Table 4
    torchrun --nproc-per-node 8 -m tresnet_lite.train --data IMAGENET --model tresnet_m --out runs/m
    torchrun --nproc-per-node 8 -m tresnet_lite.train --data IMAGENET --model tresnet_m \\
        --recipe imagenet_448 --init runs/m/last.pt --out runs/m_448    fine-tuning to 448 (§3.3)
    python -m tresnet_lite.train --data IMAGENET --submit --nodes 2 --gpus 8    as a job of Slurm

IMAGENET is a folder with train/ and val/. The same command again goes on where the last one
stopped. The exit code is 0 at the end, 1 where the run itself fails, 2 for what cannot be done at
all, 130 after an interruption.
"""

from __future__ import annotations

import argparse
import inspect
import os
import re
import sys
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tresnet_lite.ablation import ablation_ladder
from tresnet_lite.model import TResNetConfig, list_models
from tresnet_lite.training import processes
from tresnet_lite.training.data import NAMED, ROOT, Data, load_data
from tresnet_lite.training.engine import Interrupted, NonFiniteLoss, Result, train
from tresnet_lite.training.networks import build_network, initialise_from
from tresnet_lite.training.overrides import nearest
from tresnet_lite.training.reading import TooManyUnreadable
from tresnet_lite.training.recipe import RECIPES, Recipe, make_recipe
from tresnet_lite.training.run_folder import LAST, ResumeError

FITTING = {
    "digits": "digits",
    "cifar10": "cifar",
    "cifar100": "cifar",
}  # data → recipe; for all others "imagenet"


def main(arguments: list[str] | None = None) -> int:
    options = parse(sys.argv[1:] if arguments is None else arguments)
    if not options.submit:
        return work(options)
    from tresnet_lite.training.slurm import submit

    try:
        return submit(options, run_folder(options).resolve())
    except (
        ValueError,
        ImportError,
        RuntimeError,
    ) as error:  # RuntimeError: submitit finds no Slurm
        print(f"error: {error}", file=sys.stderr)
        return 2


def work(options: argparse.Namespace) -> int:
    """Train what the options name, in this process or those that train with it; the exit code."""
    try:
        with processes.joined(options.device) as device:
            return run(options, device)
    except Interrupted as stopped:
        print(f"interrupted: {stopped}", file=sys.stderr)
        return 130
    except torch.OutOfMemoryError as error:
        print(
            f"out of memory: split each process's batch into parts (--accumulate 2, 4 …): {error}",
            file=sys.stderr,
        )
        return 1
    except (NonFiniteLoss, TooManyUnreadable) as failure:
        print(f"stopped: {failure}", file=sys.stderr)
        return 1
    except (ValueError, OSError, ImportError, ResumeError) as error:  # misuse, told in a line
        print(f"error: {error}", file=sys.stderr)
        return 2


def run(options: argparse.Namespace, device: torch.device) -> int:
    """Build what the options name, train it, and say what came of it."""
    first = processes.rank() == 0
    say = (
        partial(print, flush=True) if first else (lambda line: None)
    )  # a log shows each epoch at once
    recipe = make_recipe(
        options.recipe or FITTING.get(options.data, "imagenet"), **chosen(options, Recipe)
    )
    data = load_once(options.data, options.root)
    torch.manual_seed(options.seed)
    network = build_network(
        options.model,
        num_classes=len(data.classes),
        in_chans=data.channels,
        **chosen(options, TResNetConfig),
    )
    out = run_folder(options)
    if options.init and not (out / LAST).exists():
        say(initialise_from(network, options.init))
    say(
        f"{options.model}, {sum(p.numel() for p in network.parameters()):,} parameters, on"
        f" {data.name}: {len(data.train):,} images to train, {len(data.test):,} to test → {out}"
    )
    result = train(
        network,
        data,
        recipe,
        out=out,
        name=options.model,
        init=options.init,
        seed=options.seed,
        device=device,
        workers=default_workers(data) if options.workers is None else options.workers,
        accumulate=options.accumulate,
        synchronise=options.synchronise,
        save_minutes=options.save_minutes,
        log_every=options.log_every,
        unreadable=options.unreadable,
        tensorboard=not options.no_tensorboard,
        tell=say,
    )
    if first:
        say(summary(result, options.data))
    return 0


def run_folder(options: argparse.Namespace) -> Path:
    """Where the run keeps its files: as given, else a folder named by data and model."""
    words = f"{Path(options.data).name}_{options.model}".lower()
    return options.out or Path("runs", re.sub(r"\W+", "_", words).strip("_"))


def load_once(source: str, root: Path | None) -> Data:
    """The data; where several processes train together, the first one downloads before the others
    look.
    """
    if processes.rank() == 0:
        found = load_data(source, root=root)
    processes.wait()
    return found if processes.rank() == 0 else load_data(source, root=root, download=False)


def default_workers(data: Data) -> int:
    """Reading processes: none for the small digits, else the processors that are there for each
    training process.
    """
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return (
        0 if data.name == "digits" else min(12, here // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
    )


def summary(result: Result, source: str) -> str:
    """What a run ends with."""
    return (
        f"test accuracy {result.top1:.2f} % (top-5 {result.top5:.2f} %) on {result.images:,}"
        f" images, and without the weights' moving average {result.raw_top1:.2f} %\nbest epoch"
        f" {result.best_epoch}: {result.best_top1:.2f} %, but chosen on these images\ncheckpoints:"
        f" {result.out / 'last.pt'}, {result.out / 'best.pt'}; curves:"
        f" {result.out / 'log.jsonl'}\nevaluate it: python -m tresnet_lite.evaluate --weights"
        f" {result.out / 'last.pt'} --data {source}"
    )


def chosen(options: argparse.Namespace, kind: type) -> dict[str, Any]:
    """The fields of a dataclass that were given, as texts."""
    given = {field.name: getattr(options, field.name) for field in fields(kind)}
    return {name: value for name, value in given.items() if value is not None}


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options; an unknown one ends the program with the nearest known."""
    parser = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        known = [
            text
            for action in parser._actions
            for text in action.option_strings
            if text.startswith("--")
        ]
        parser.error(f"unknown option {unknown[0]}; {nearest(unknown[0].split('=')[0], known)}")
    return options


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    epilog = "\n\n".join(
        f"{kind.__name__}: {inspect.getdoc(kind)}" for kind in (Recipe, TResNetConfig)
    )
    parser = argparse.ArgumentParser(
        prog="python -m tresnet_lite.train",
        usage="%(prog)s [options]",
        description=__doc__,
        epilog=epilog,
        formatter_class=raw,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--data",
        default="digits",
        help=f"{', '.join(NAMED)}, or a folder of images; default: digits",
    )
    add(
        "--root",
        type=Path,
        help=f"where named data lie or are downloaded to; default: ${ROOT}, or the user's cache",
    )
    rungs = ", ".join(f"{i} ({label})" for i, label in enumerate(ablation_ladder()))
    models = (
        f"{', '.join(list_models())}; a rung of Table 4: {rungs}; or one of timm's; default:"
        " tresnet_m"
    )
    add("--model", default="tresnet_m", help=models)
    add("--recipe", help=f"{', '.join(RECIPES)}; default: the one that fits the data")
    add("--init", metavar="WEIGHTS", help="start from a checkpoint: a path, a URL or a hub name")
    add("--out", type=Path, help="the run's folder; default: runs/DATA_MODEL")
    add("--seed", type=int, default=0, help="of weights, order and augmentation")
    add("--device", help="cuda or cpu; default: the GPU where there is one")
    add(
        "--workers",
        type=int,
        help="processes that read images; default: by the data and the processors",
    )
    add(
        "--accumulate",
        type=int,
        default=1,
        help="parts that a process splits its batch into, to save memory",
    )
    add("--synchronise", action="store_true", help="norms see the joined batch of all processes")
    add(
        "--save-minutes",
        type=float,
        default=10.0,
        help="between checkpoints within an epoch; 0: after each step",
    )
    add("--log-every", type=int, default=50, help="steps between lines of the log")
    add(
        "--unreadable",
        type=int,
        default=100,
        help="broken or missing images that are skipped before the run stops",
    )
    add("--no-tensorboard", action="store_true", help="write log.jsonl alone")
    _add_cluster(parser.add_argument_group("cluster"))
    for kind, title in ((Recipe, "recipe"), (TResNetConfig, "network")):
        group = parser.add_argument_group(f"{title}: fields of {kind.__name__}, explained below")
        for field in fields(kind):
            group.add_argument(f"--{field.name.replace('_', '-')}", metavar="VALUE")
    return parser


def _add_cluster(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--submit", action="store_true", help="as a job of Slurm, which goes on when requeued"
    )
    group.add_argument("--partition", help="of Slurm")
    group.add_argument("--nodes", type=int, default=1)
    group.add_argument("--gpus", type=int, default=1, help="on each node")
    group.add_argument(
        "--tasks", type=int, help="processes on each node; default: one for each GPU"
    )
    group.add_argument(
        "--hours", type=float, default=24.0, help="that a job may take before it is requeued"
    )
    group.add_argument(
        "--cluster", choices=("slurm", "local"), default="slurm", help="local: on this machine"
    )


if __name__ == "__main__":
    sys.exit(main())
