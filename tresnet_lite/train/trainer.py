"""One step of the recipe, in one process or in several that train together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tresnet_lite.layers import synchronise_norms
from tresnet_lite.train import processes
from tresnet_lite.train.data import Data
from tresnet_lite.train.networks import refuse_other_size
from tresnet_lite.train.optimisation import half_type, make_loss
from tresnet_lite.train.reading import Batch, Images, Steps, Unreadable, image_loader, mixed, seeded
from tresnet_lite.train.recipe import Recipe
from tresnet_lite.train.scores import Scores, evaluate
from tresnet_lite.train.state import TrainingState


class Trainer:
    """A network, its data and its recipe, ready to take the next step.

    Raises:
        ValueError: more images per step than there are, a batch that the processes and parts do not
            divide, a network for other classes or channels, or norms that cannot be joined.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Data,
        recipe: Recipe,
        device: torch.device,
        *,
        seed: int = 0,
        workers: int = 0,
        parts: int = 1,
        synchronise: bool = False,
        unreadable: Unreadable,
    ) -> None:
        check_fit(model, data, recipe, parts)
        self.data, self.recipe, self.device = data, recipe, device
        self.seed, self.workers, self.parts, self.unreadable = seed, workers, parts, unreadable
        self.per_epoch = len(data.train) // recipe.batch
        self.total = recipe.epochs * self.per_epoch
        self.half, self.loss = half_type(recipe, device), make_loss(recipe)
        model = model.to(device)
        if synchronise and processes.count() > 1:
            model = join_norms(model, device)
        self.state = TrainingState.fresh(model, recipe, self.total, device)
        self.network: nn.Module = model
        if processes.count() > 1:
            devices = [device] if device.type == "cuda" else None
            self.network = DistributedDataParallel(model, devices)

    def batches(self) -> Iterator[list[Batch]]:
        """For each step that is left, this process's images, in parts."""
        span = (self.state.step, self.total)
        shares = (self.parts, processes.rank(), processes.count())
        steps = Steps(len(self.data.train), self.recipe.batch, self.seed, *span, *shares)
        augment = self.recipe.train_transform(self.data.channels)
        images = Images(self.data.train, augment, seed=self.seed, substitute=True)
        pin = self.device.type == "cuda"
        loader = iter(image_loader(images, steps, workers=self.workers, pin=pin))
        while parts := list(islice(loader, self.parts)):
            yield parts

    def step(self, parts: list[Batch]) -> Tensor:
        """Train on a batch, part by part; (2,): the mean loss, and the share of right answers."""
        state = self.state
        seed = mixed(self.seed, state.step, processes.rank())
        if self.device.type == "cuda":
            torch.cuda.manual_seed_all(seed)  # the current GPU may be another than the run's
        with seeded(seed):  # for dropout
            scores = [self._gradients(part, last=part is parts[-1]) for part in parts]
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad()
        state.schedule.step()
        if state.ema:
            state.ema.update(state.model, step=state.step)
        state.step += 1
        return processes.total(torch.stack(scores).mean(0)) / processes.count()

    def _gradients(self, part: Batch, *, last: bool) -> Tensor:
        """Add a part's share to the gradients; processes join with the last; (2,): as `step`."""
        self.unreadable.note(part.unreadable)
        images = part.images.to(self.device, non_blocking=True)
        labels = part.labels.to(self.device, non_blocking=True)
        joined = last or processes.count() == 1
        with contextlib.nullcontext() if joined else self.network.no_sync():
            with torch.autocast(self.device.type, self.half, enabled=self.half is not None):
                logits = self.network(images)
                loss = self.loss(logits, labels)
            self.state.scaler.scale(loss / self.parts).backward()
        return torch.stack([loss.detach(), (logits.argmax(1) == labels).float().mean()]).double()

    def evaluate(self, network: nn.Module) -> Scores:
        """The scores of the first process's weights on the test images."""
        processes.share_from_first(network)
        share = self.recipe.batch // (self.parts * processes.count())
        names = ("device", "workers", "half", "unreadable")
        settings = {name: getattr(self, name) for name in names}
        transform = self.recipe.eval_transform(self.data.channels)
        return evaluate(network, self.data.test, transform, batch=max(share, 64), **settings)


def check_fit(model: nn.Module, data: Data, recipe: Recipe, parts: int) -> None:
    """Refuse, with a ValueError, what would fail or mislead after the start."""
    shares = processes.count() * parts
    if parts < 1:
        raise ValueError(f"accumulate is {parts}: it must be at least 1")
    if recipe.batch % shares:
        below, above = recipe.batch // shares * shares, -(-recipe.batch // shares) * shares
        good = " or ".join(str(batch) for batch in sorted({max(below, shares), above}))
        split = f"{processes.count()} processes × {parts} parts"
        raise ValueError(f"a batch of {recipe.batch} does not split into {split}: take {good}")
    refuse_other_size(model, recipe.size)
    if len(data.train) < recipe.batch:
        has = f"{data.name} has {len(data.train)} training images"
        raise ValueError(f"{has}, less than a batch of {recipe.batch}")
    sizes = {"num_classes": ("classes", len(data.classes)), "in_chans": ("channels", data.channels)}
    for field, (what, needs) in sizes.items():
        has = getattr(model, field, None)
        if has is not None and has != needs:
            raise ValueError(f"the network is for {has} {what}, {data.name} has {needs}")


def join_norms(model: nn.Module, device: torch.device) -> nn.Module:
    """Let the norms take their statistics over the joined batch of all processes.

    Raises:
        ValueError: BatchNorm on a CPU, where PyTorch has no joined one.
    """
    if device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    elif any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        advice = "take a network with Inplace-ABN, or a GPU"
        raise ValueError(f"BatchNorm cannot be synchronised on a CPU: {advice}")
    return synchronise_norms(model)
