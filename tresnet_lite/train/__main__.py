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
import sys
from dataclasses import fields
from pathlib import Path

from tresnet_lite.ablation import ablation_ladder
from tresnet_lite.checkpoints import without_secrets
from tresnet_lite.model import TResNetConfig, list_models
from tresnet_lite.records.text import Parser, number, say
from tresnet_lite.train.data import DATA_VARIABLE, NAMED
from tresnet_lite.train.overrides import nearest
from tresnet_lite.train.recipe import RECIPES, Recipe
from tresnet_lite.train.run import run_folder, work
from tresnet_lite.train.slurm import submit

JOB = {"nodes": 1, "gpus": 1, "hours": 24.0, "cluster": "slurm"}  # the defaults of --submit


def main(arguments: list[str] | None = None) -> int:
    options = parse(sys.argv[1:] if arguments is None else arguments)
    if not options.submit:
        return work(options)
    vars(options).update(
        {name: value for name, value in JOB.items() if getattr(options, name) is None}
    )
    try:
        return submit(options, run_folder(options).resolve())
    except (ValueError, ImportError, RuntimeError) as error:  # the last: submitit finds no Slurm
        say(f"error: {error}", file=sys.stderr)
        return 2


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options; an unknown one ends the program with the nearest known."""
    parser = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        texts = [text for action in parser._actions for text in action.option_strings]
        known = [text for text in texts if text.startswith("--")]
        close = nearest(unknown[0].split("=")[0], known)
        parser.error(f"unknown option {without_secrets(unknown[0])}; {close}")
    idle = [name for name in (*JOB, "tasks", "partition") if getattr(options, name) is not None]
    if idle and not options.submit:
        parser.error(
            f"--{idle[0]} is for jobs of Slurm: give it with --submit (torchrun has its own)"
        )
    return options


def _parser() -> argparse.ArgumentParser:
    kinds = {"recipe": Recipe, "network": TResNetConfig}
    fields_of = (f"{kind.__name__}: {inspect.getdoc(kind)}" for kind in kinds.values())
    parser = Parser(
        prog="python -m tresnet_lite.train",
        usage="%(prog)s [options]",
        description=__doc__,
        epilog="\n\n".join(fields_of),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    names = ", ".join(NAMED)
    add("--data", default="digits", help=f"{names}, or a folder of images; default: digits")
    place = f"${DATA_VARIABLE}, or the user's cache"
    add("--root", type=Path, help=f"where named data lie or are downloaded to; default: {place}")
    rungs = ", ".join(f"{i} ({label})" for i, label in enumerate(ablation_ladder()))
    models = f"{', '.join(list_models())}; a rung of Table 4: {rungs}; or one of timm's"
    add("--model", default="tresnet_m", help=f"{models}; default: tresnet_m")
    add("--recipe", help=f"{', '.join(RECIPES)}; default: the one that fits the data")
    sources = "a path, a URL (with #sha256=… it is checked) or a hub name"
    add("--init", metavar="WEIGHTS", help=f"start from a checkpoint: {sources}")
    add("--out", type=Path, help="the run's folder; default: runs/DATA_MODEL")
    add("--seed", type=number(), default=0, help="of weights, order and augmentation")
    add("--device", help="cuda or cpu; default: the GPU where there is one")
    readers = "processes that read images; default: by the data and the processors"
    add("--workers", type=number(), help=readers)
    parts = "parts that a process splits its batch into, to save memory"
    add("--accumulate", type=number(least=1), default=1, help=parts)
    add("--synchronise", action="store_true", help="norms see the joined batch of all processes")
    minutes = "between checkpoints within an epoch; 0: after each step"
    add("--save-minutes", type=number(float), default=10.0, help=minutes)
    add("--log-every", type=number(least=1), default=50, help="steps between lines of the log")
    broken = "broken or missing images that are skipped before the run stops"
    add("--unreadable", type=number(), default=100, help=broken)
    add("--no-tensorboard", action="store_true", help="write log.jsonl alone")
    _add_cluster(parser.add_argument_group("cluster"))
    for title, kind in kinds.items():
        group = parser.add_argument_group(f"{title}: fields of {kind.__name__}, explained below")
        for field in fields(kind):
            group.add_argument(f"--{field.name.replace('_', '-')}", metavar="VALUE")
    return parser


def _add_cluster(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--submit", action="store_true", help="as a job of Slurm, which goes on when requeued")
    add("--partition", help="of Slurm")
    defaults = {name: f"default: {value}" for name, value in JOB.items()}
    add("--nodes", type=number(least=1), help=defaults["nodes"])
    add("--gpus", type=number(), help=f"on each node; {defaults['gpus']}")
    add("--tasks", type=number(least=1), help="processes on each node; default: one for each GPU")
    hours = "that a job may take before it is requeued"
    add("--hours", type=number(float, 0.02, 8760), help=f"{hours}; {defaults['hours']}")
    local = "local: on this machine"
    add("--cluster", choices=("slurm", "local"), help=f"{local}; {defaults['cluster']}")


if __name__ == "__main__":
    sys.exit(main())
