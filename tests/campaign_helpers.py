"""A campaign whose measuring program is a stand-in that answers from a file."""

import json
import sys
from pathlib import Path

from tresnet_lite.bench.campaign import Slot, run
from tresnet_lite.bench.suites import Point
from tresnet_lite.records import Conditions, Failure, Record, Spread, collect, load

HERE = collect("cpu")

STAND_IN = """
import json, os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
point = json.loads(sys.stdin.readline())["point"]
told = json.loads((folder / "answers.json").read_text())[point["model"]]
with open(folder / "log", "a") as log:
    log.write(point["model"] + "\\n")
if told["do"] == "die":
    sys.exit("/home/someone/libcudart.so: the device fell off the bus")
if told["do"] == "meet":  # two must be at work at the same time, or neither goes on
    (folder / f"meet-{point['model']}-{os.environ['CUDA_VISIBLE_DEVICES']}").touch()
    while len(list(folder.glob("meet-*"))) < 2:
        time.sleep(0.01)
while told["do"] == "hang":
    time.sleep(0.01)
time.sleep(0.05)
print(*told["lines"], sep="\\n")
"""


def make_point(name: str, **changes) -> Point:
    return Point(
        **{
            "suites": ("table1",),
            "case": "c",
            "model": name,
            "device": "cpu",
            "resolution": 32,
            "batch": 2,
        }
        | changes
    )


def record(point: Point, metric: str = "throughput") -> Record:
    value, ran = Spread(2.0, 1.0, 3.0, 5), Conditions(2, 32)
    return Record("table1", "c", point.model, "inference", metric, value, ran, HERE, point.id)


def failure(point: Point) -> Failure:
    return Failure(
        "table1", "c", point.model, "training", "out of memory", "tried 2 GiB", point.id, HERE
    )


class Fakes:
    """Points in a folder, what the stand-in does for each, and which it was started for."""

    def __init__(self, folder: Path, names: str = "abcdefgh", **does: str) -> None:
        self.folder, self.out = folder, folder / "records.jsonl"
        self.points = [make_point(name) for name in names]
        self.slot = Slot({}, HERE.device)
        (folder / "stand_in.py").write_text(STAND_IN)
        self.command = (sys.executable, "-S", str(folder / "stand_in.py"), str(folder))
        self.answer(**does)

    def answer(self, **does: str) -> None:
        answers = {}
        for p in self.points:
            lines = [failure(p)] if does.get(p.model) == "fail" else []
            lines += [record(p, "throughput"), record(p, "peak_memory")]
            answers[p.model] = {
                "do": does.get(p.model, ""),
                "lines": [line.to_json() for line in lines],
            }
        (self.folder / "answers.json").write_text(json.dumps(answers))

    def run(self, **options) -> list[Point]:
        return run(
            self.points,
            self.out,
            options.pop("slots", [self.slot]),
            command=self.command,
            **options,
        )

    @property
    def started(self) -> list[str]:
        log = self.folder / "log"
        return log.read_text().split() if log.exists() else []

    def expected(self, *names: str) -> list[tuple[str, str]]:
        return sorted((name, metric) for name in names for metric in ("throughput", "peak_memory"))

    def measured(self) -> list[tuple[str, str]]:
        return sorted((r.model, r.metric) for r in load(self.out))
