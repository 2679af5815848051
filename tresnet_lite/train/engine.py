"""A whole run (§3.1): the steps, an evaluation after each epoch, and checkpoints to go on from.

A run is a function of its settings: each image's augmentation and each step's dropout have a seed
of their own, so one that was interrupted, by whatever, ends with the weights that it would have had
(to the bit on a CPU).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tresnet_lite.checkpoints import without_secrets
from tresnet_lite.records import collect
from tresnet_lite.records.text import say
from tresnet_lite.train import processes
from tresnet_lite.train.data import Data
from tresnet_lite.train.log import RunLog
from tresnet_lite.train.networks import describe_network
from tresnet_lite.train.optimisation import current_rates, has_bfloat16
from tresnet_lite.train.reading import Unreadable, watching_readers
from tresnet_lite.train.recipe import Recipe
from tresnet_lite.train.run_folder import BEST, LAST, RunFolder, whole
from tresnet_lite.train.stop import Stop
from tresnet_lite.train.trainer import Trainer


class NonFiniteLoss(RuntimeError):
    """The loss or a weight is no longer finite; the message says where, and what to try."""


class Interrupted(KeyboardInterrupt):
    """A signal stopped the run after a step; what was done is saved."""


@dataclass(frozen=True)
class Result:
    """A finished run. Accuracies are of the test images, in per cent.

    Attributes:
        top1, top5: of the last weights, the moving average's where the recipe has one.
        raw_top1: of the last weights without the average.
        best_top1, best_epoch: the best epoch's, chosen by the test images, so it flatters.
        images: how many test images there were.
        seconds: of training and evaluation, over all the starts of the run.
        history: a dict for each epoch: epoch, step, loss, train_top1, top1, top5, test_loss,
            images, lr, images_per_second, seconds; raw_top1 in the last.
        model: the network that was evaluated, in evaluation mode.
    """

    top1: float
    top5: float
    raw_top1: float
    best_top1: float
    best_epoch: int
    images: int
    steps: int
    seconds: float
    history: list[dict[str, Any]]
    model: nn.Module
    out: Path | None = None


@watching_readers()
def train(
    model: nn.Module,
    data: Data,
    recipe: Recipe,
    *,
    out: str | Path | None = None,
    name: str | None = None,
    init: str | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    workers: int = 0,
    accumulate: int = 1,
    synchronise: bool = False,
    save_minutes: float = 10.0,
    log_every: int = 50,
    unreadable: int = 100,
    tensorboard: bool = False,
    tell: Callable[[str], Any] | None = say,
) -> Result:
    """Train a model, in place, and evaluate it after each epoch.

    With a folder, the same call goes on where the last one stopped, or gives the result at once.

    Args:
        out: the run's folder; None keeps nothing.
        name, init: of the network and of the weights that it starts from, to describe the run.
        device: None for the GPU where there is one.
        workers: processes that read images; 0 reads them here.
        accumulate: parts of a batch in each process, to save memory; norms see one at a time.
        synchronise: norms see the joined batch of all processes.
        save_minutes: between checkpoints, besides those after each epoch. 0: after each step.
        log_every: steps between lines of the log.
        unreadable: images that may be broken or missing before the run stops.
        tell: gets a line per epoch; None for silence.

    Raises:
        ValueError: settings that do not fit each other.
        ResumeError: the folder holds another run, or another process is at work in it.
        NonFiniteLoss: the loss is not a finite number; the checkpoint from before is kept.
        TooManyUnreadable: more images than `unreadable` cannot be read.
        ReaderLost: a process that reads images was killed.
        Interrupted: a signal came; the run is saved.
    """
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if log_every < 1 or not save_minutes >= 0:
        raise ValueError(
            f"log_every is {log_every}, save_minutes {save_minutes}: from 1, and from 0"
        )
    identity = {"recipe": asdict(recipe), "model": describe_network(model, name)}
    identity |= {"data": data.identity(), "seed": seed}
    identity["init"] = init and without_secrets(init)
    first = processes.rank() == 0
    folder = None if out is None else RunFolder(out, identity, data.trained() if first else None)
    work = {"seed": seed, "workers": workers, "parts": accumulate, "synchronise": synchronise}
    trainer = Trainer(model, data, recipe, device, **work, unreadable=Unreadable(unreadable))
    with contextlib.ExitStack() as stack:
        if folder:
            stack.enter_context(folder.locked() if first else contextlib.nullcontext())
            if checkpoint := folder.last(device):
                with whole(folder.path / LAST):
                    trainer.state.load_state_dict(checkpoint)
        path = folder.path if folder and first else None
        steps = {"steps": trainer.total, "batch": recipe.batch, "step": trainer.state.step}
        log = RunLog(path, **steps, tensorboard=tensorboard, tell=tell if first else None)
        stack.enter_context(log)
        return TrainingRun(trainer, folder, log, save_minutes, log_every).finish()


class TrainingRun:
    """Training steps with what goes on around them: log, evaluation, checkpoints and checks."""

    def __init__(
        self,
        trainer: Trainer,
        folder: RunFolder | None,
        log: RunLog,
        save_minutes: float,
        log_every: int,
    ) -> None:
        self.trainer, self.state, self.folder, self.log = trainer, trainer.state, folder, log
        self.save_minutes, self.log_every = save_minutes, log_every
        # loss and accuracy of steps, not read yet: reading makes a GPU wait
        self.pending: list[Tensor] = []
        self.saved = self.looked = self.epoch_start = time.monotonic()
        self.begun = self.saved - self.state.seconds
        self.epoch_steps = 0  # of the running epoch, since this start
        trainer.unreadable.tell = log.say

    def finish(self) -> Result:
        """Take the steps that are left."""
        trainer, state = self.trainer, self.state
        if state.step < trainer.total:
            self._start()
        with Stop(self.folder is not None) as stop:
            for parts in trainer.batches():
                self.pending.append(trainer.step(parts))
                self.epoch_steps += 1
                self.log.advance()
                if state.step % trainer.per_epoch == 0:
                    self._end_epoch()
                else:
                    self._between(stop.wanted)
                if stop.wanted and state.step < trainer.total:
                    where = f"stopped after step {state.step} of {trainer.total}"
                    raise Interrupted(f"{where}; the same command goes on")
        return self._result()

    def _start(self) -> None:
        state, trainer = self.state, self.trainer
        if state.step:
            where = f"step {state.step} of {trainer.total}"
            self.log.say(f"going on after {where} from {self.folder.path / LAST}")
        else:
            about = {"processes": processes.count(), "accumulate": trainer.parts}
            about |= self.folder.identity if self.folder else {}
            self.log.event("start", 0, **about, provenance=asdict(collect(trainer.device)))
        state.model.train()

    def _between(self, stopping: bool) -> None:
        """After a step within an epoch: a line in the log and a checkpoint, where they are due."""
        if self.state.step % self.log_every == 0:
            self._look()
        minutes = (time.monotonic() - self.saved) / 60
        if stopping or minutes >= self.save_minutes:
            self._save()

    def _look(self) -> None:
        """Read the losses since the last look and log their mean; raises NonFiniteLoss."""
        if not self.pending:
            return
        values = torch.stack(self.pending).tolist()
        first = self.state.step - len(values)
        for step, (loss, right) in enumerate(values, start=first):
            if not math.isfinite(loss):
                raise self._not_finite(f"the loss is {loss} at step {step}")
            for place, value in enumerate((loss, right, 1)):
                self.state.sums[place] += value
        now = time.monotonic()
        speed = len(values) * self.trainer.recipe.batch / max(now - self.looked, 1e-9)
        rate, momentum = current_rates(self.state.optimizer)
        mean, epoch = sum(loss for loss, _ in values) / len(values), self._epoch(first)
        numbers = {"loss": mean, "lr": rate, "momentum": momentum, "images_per_second": speed}
        self.log.event("step", self.state.step, epoch=epoch, **numbers)
        self.log.show(epoch=epoch, loss=f"{mean:.3f}", top1=f"{100 * values[-1][1]:.1f}")
        self.pending, self.looked = [], now

    def _epoch(self, step: int) -> int:
        """The epoch, from 1, of a step, from 0."""
        return step // self.trainer.per_epoch + 1

    def _end_epoch(self) -> None:
        """Look, evaluate, report, save."""
        self._look()
        state, trainer = self.state, self.trainer
        rate, _ = current_rates(state.optimizer)
        seconds = max(time.monotonic() - self.epoch_start, 1e-9)
        speed = self.epoch_steps * trainer.recipe.batch / seconds
        loss, right, steps = state.sums
        epoch = {"epoch": self._epoch(state.step - 1), "loss": loss / steps}
        epoch["train_top1"] = 100 * right / steps
        scores = trainer.evaluate(state.evaluated)
        epoch |= {"top1": scores.top1, "top5": scores.top5}
        epoch |= {"test_loss": scores.loss, "images": scores.images}
        if state.step == trainer.total:
            epoch["raw_top1"] = trainer.evaluate(state.model).top1 if state.ema else scores.top1
        state.seconds = time.monotonic() - self.begun
        epoch |= {"lr": rate, "images_per_second": speed, "seconds": state.seconds}
        state.history.append({"step": state.step, **epoch})
        state.sums = [0.0, 0.0, 0.0]
        state.model.train()
        self.log.event("epoch", state.step, **epoch)
        self.log.say(self._line(epoch))
        self._save(best=epoch["top1"] >= max(past["top1"] for past in state.history))
        self.epoch_steps, self.epoch_start, self.looked = 0, time.monotonic(), time.monotonic()

    def _line(self, epoch: dict[str, Any]) -> str:
        left = (self.trainer.total / self.state.step - 1) * self.state.seconds
        return (
            f"epoch {epoch['epoch']}/{self.trainer.recipe.epochs}: loss {epoch['loss']:.3f}, "
            f"training {epoch['train_top1']:.1f} %, test {epoch['top1']:.2f} %, "
            f"{epoch['images_per_second']:,.0f} img/s, {duration(left)} left"
        )

    def _save(self, best: bool = False) -> None:
        """Write a checkpoint. If a weight is not finite, NonFiniteLoss, and the old one stays."""
        if not self.folder or processes.rank():
            return
        self._look()
        if not self.state.is_finite():
            raise self._not_finite(f"a weight is not a finite number after step {self.state.step}")
        self.state.seconds = time.monotonic() - self.begun
        if best:
            epoch = self.state.history[-1]
            self.folder.save({"model": self.state.evaluated.state_dict(), "epoch": epoch}, BEST)
        self.folder.save(self.state.state_dict())
        self.saved = time.monotonic()

    def _not_finite(self, what: str) -> NonFiniteLoss:
        recipe, (rate, _) = self.trainer.recipe, current_rates(self.state.optimizer)
        advice = f"a lower peak (--lr {recipe.lr / 2:g})"
        advice += f", a longer rise (--rise {min(0.5, recipe.rise * 1.5):g})"
        if self.trainer.half is torch.float16:
            advice += f", --amp {'bfloat16 or ' if has_bfloat16() else ''}off"
        if self.folder and (self.folder.path / LAST).exists():
            good = self.folder.path / LAST
            advice += f". The last good checkpoint is {good}"
            advice += f": --init {good} with another --out starts from it"
        where = f"epoch {self._epoch(self.state.step - 1)}, at a learning rate of {rate:.3g}"
        return NonFiniteLoss(f"{what}, {where}. Try {advice}.")

    def _result(self) -> Result:
        state, history = self.state, self.state.history
        best = max(history, key=lambda epoch: epoch["top1"])
        names = ("top1", "top5", "raw_top1", "images", "seconds")
        return Result(
            **{name: history[-1][name] for name in names},
            best_top1=best["top1"],
            best_epoch=best["epoch"],
            steps=state.step,
            history=history,
            model=state.evaluated.eval(),
            out=self.folder and self.folder.path,
        )


def duration(seconds: float) -> str:
    """ "40 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
