"""Table 4's ladder in a narrow variant, trained on small images: what each rung does to accuracy.

What follows from the records (suite "ablation") is `findings.statistics`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import ClassVar

import torch

from tresnet_lite.ablation import ablation_ladder
from tresnet_lite.bench.compare import norm_backend
from tresnet_lite.experiments import small_training
from tresnet_lite.experiments.small_images import SETS, load_images
from tresnet_lite.experiments.small_training import TRAINING_BATCH
from tresnet_lite.experiments.studies import Study, adjusted
from tresnet_lite.model import TResNet, TResNetConfig
from tresnet_lite.profiles import Profile
from tresnet_lite.records import Conditions
from tresnet_lite.records.text import plural
from tresnet_lite.train.digits import SIDE, Digits
from tresnet_lite.train.engine import NonFiniteLoss

STEM_CHANNELS = 8  # channels of the stem, where the paper's ladder has 64
SHALLOWER = 5.5  # 3, 4, 6, 3 blocks become 1, 1, 1, 1, and 3, 4, 11, 3 become 1, 1, 2, 1


def small_ladder() -> dict[str, TResNetConfig]:
    """The ladder with an eighth of the width and few blocks; its rungs differ as the paper's do.

    SE has the printed reduction, as the coded one would never squeeze below 64 channels, more than
    these maps have.
    """
    rungs = {}
    for rung, config in ablation_ladder().items():
        depths = tuple(max(1, round(depth / SHALLOWER)) for depth in config.depths)
        rungs[rung] = replace(config, width=STEM_CHANNELS, depths=depths, se_reduction="paper")
    return rungs


def new_network(rung: str, images: Digits, seed: int) -> TResNet:
    """A rung of `small_ladder` for a set of images, with weights drawn from a seed."""
    torch.manual_seed(seed)
    classes = int(images.labels.max()) + 1
    return TResNet(small_ladder()[rung], num_classes=classes, in_chans=images.images.shape[1])


@dataclass(frozen=True)
class LadderStudy(Study):
    """The rungs of the small ladder, trained on one set of images.

    Attributes:
        data: the set, of `small_images.SETS`.
        lr: the learning rate's peak.
    """

    data: str
    batch: int = TRAINING_BATCH
    lr: float = 0.2
    suite: ClassVar[str] = "ablation"

    def __str__(self) -> str:
        return f"{plural(self.training.seeds, 'seed')}, {self._how}"

    @property
    def case(self) -> str:
        return f"{self.data}, {self._how}"

    @property
    def _how(self) -> str:
        images = f" of {self.training.images} images" if self.training.images else ""
        epochs = plural(self.training.epochs, "epoch")
        settings = f"batches of {self.batch}, peak rate {self.lr:g}, width {STEM_CHANNELS}"
        return f"{epochs}{images} in {settings}"

    def variants(self) -> list[str]:
        return list(ablation_ladder())

    def identity(self, variant: str) -> str:
        return repr(asdict(small_ladder()[variant]))

    def train(self, variant: str, seed: int, device: str) -> tuple[float, Conditions]:
        data = load_images(self.data, device)
        network = new_network(variant, data, seed)
        how = {"epochs": self.training.epochs, "images": self.training.images}
        small_training.train_small(network, data, seed=seed, batch=self.batch, lr=self.lr, **how)
        if not all(tensor.isfinite().all() for tensor in network.state_dict().values()):
            raise NonFiniteLoss("a weight is not a finite number after training")
        top1 = small_training.accuracy(network, data)
        return top1, Conditions(self.batch, SIDE, norm=norm_backend(network))


def studies(
    profile: Profile, *, seeds: int | None = None, epochs: int | None = None
) -> dict[str, LadderStudy]:
    """A profile's studies, set by set; `seeds` and `epochs` replace its own.

    Raises:
        ValueError: they are below 1.
    """
    ladder = adjusted(profile.ladder, seeds=seeds, epochs=epochs)
    # the sets that come with packages
    wanted = {data: LadderStudy(ladder, data) for data in ("digits", "photographs")}
    if profile.cifar is not None:
        cifar = adjusted(profile.cifar, seeds=seeds, epochs=epochs)
        wanted["CIFAR-10"] = LadderStudy(cifar, "CIFAR-10", batch=512, lr=0.4)
    return wanted


def find_images(
    wanted: Iterable[str], profile: Profile
) -> tuple[dict[str, Digits], dict[str, str]]:
    """The sets of images that can be had, on the profile's device, and why the others cannot."""
    images, missing = {}, {}
    for name in SETS:
        if name not in wanted:
            missing[name] = f"profile {profile.name!r} trains on images that come with packages"
            continue
        try:
            images[name] = load_images(name, profile.device)
        except ConnectionError as error:
            missing[name] = str(error)
    return images, missing
