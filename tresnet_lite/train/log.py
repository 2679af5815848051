"""What a run reports: a bar in a terminal, else a line per epoch; log.jsonl and TensorBoard."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tresnet_lite.records.files import replacing
from tresnet_lite.train.run_folder import LOG, ResumeError

BEGINNING = '{"event": '  # of every line of a log


class RunLog:
    """Where the events of a run go.

    Args:
        folder: gets log.jsonl; None for no file.
        tensorboard: write for TensorBoard too.
        steps, batch, step: of the run, the images of each, and how many are done already.
        tell: gets the lines; None for silence.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        tensorboard: bool,
        steps: int,
        batch: int,
        step: int,
        tell: Callable[[str], Any] | None,
    ) -> None:
        self.tell, self.batch = tell, batch
        silent = tell is None or not sys.stderr.isatty()
        look = {"unit": "img", "unit_scale": True, "dynamic_ncols": True, "disable": silent}
        self.bar = tqdm(total=steps * batch, initial=step * batch, **look)
        self.file, self.board = None, None
        if folder is not None:
            forget_after(folder / LOG, step)
            self.file = (folder / LOG).open("a", encoding="utf-8")
            self.board = _board(folder / "tensorboard", step, self.say) if tensorboard else None

    def say(self, line: str) -> None:
        """A line for people, beside the bar if there is one."""
        if self.tell is not None:
            self.bar.clear()
            self.tell(line)
            self.bar.refresh()

    def advance(self) -> None:
        """A step is done."""
        self.bar.update(self.batch)

    def show(self, **values: Any) -> None:
        """What stands beside the bar from here on."""
        self.bar.set_postfix(values, refresh=False)

    def event(self, kind: str, step: int, **values: Any) -> None:
        """A line in the log, and its numbers for TensorBoard."""
        if self.file is not None:
            self.file.write(json.dumps({"event": kind, "step": step, **values}) + "\n")
            self.file.flush()
        if self.board is not None:
            for name, value in values.items():
                if isinstance(value, int | float) and name != "epoch":
                    self.board.add_scalar(f"{kind}/{name}", value, step)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()
        for sink in (self.file, self.board):
            if sink is not None:
                sink.close()


def _board(folder: Path, step: int, say: Callable[[str], None]) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        say(f"TensorBoard is not installed (pip install tensorboard): {LOG} is written alone")
        return None
    # what a killed run wrote after its last checkpoint
    return SummaryWriter(str(folder), purge_step=step + 1)


def forget_after(path: Path, step: int) -> None:
    """Take out of a log what a killed run did after its last checkpoint, and a line cut short.

    Raises:
        ResumeError: the file is no run's log, and stays as it is.
    """
    if not path.exists():
        return
    lines = [json.dumps(event) for event in _events(path) if event["step"] <= step]
    with replacing(path) as new:
        new.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _events(path: Path) -> list[dict[str, Any]]:
    """The events of a log, without a last line that a killed run cut short; else ResumeError."""
    *lines, cut = path.read_text(encoding="utf-8", errors="replace").split("\n")
    events = []
    for number, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
            good = isinstance(event, dict) and isinstance(event["event"], str)
            good = good and isinstance(event["step"], int)
        except (ValueError, LookupError):
            good = False
        if not good:
            raise _foreign(f"{path}:{number}")
        events.append(event)
    if not (cut.startswith(BEGINNING) or BEGINNING.startswith(cut)):
        raise _foreign(f"{path}:{len(lines) + 1}")
    return events


def _foreign(where: str) -> ResumeError:
    return ResumeError(f"{where} is no line of a run's log: give another --out, or move that file")


def read_log(path: str | Path, event: str = "epoch") -> list[dict[str, Any]]:
    """The events of a kind in a run's log, in their order.

    Args:
        path: the run's folder, or its log.
        event: "start", "step" or "epoch".
    """
    path = Path(path)
    events = _events(path / LOG if path.is_dir() else path)
    return [entry for entry in events if entry["event"] == event]
