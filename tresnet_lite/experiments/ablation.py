"""Table 4's ladder in a narrow variant, trained on small images from several seeds: what each rung
does to accuracy.

Every network that has been trained is a record (suite "ablation"), so that no training is done
twice. What follows from the records is `accuracy_statistics`'s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache

import torch

from tresnet_lite.ablation import ablation_ladder
from tresnet_lite.bench.compare import norm_backend
from tresnet_lite.experiments.gates import accuracy, train
from tresnet_lite.experiments.small_images import SETS
from tresnet_lite.experiments.small_runs import recorded, train_missing
from tresnet_lite.model import TResNet, TResNetConfig
from tresnet_lite.profiles import Profile
from tresnet_lite.records import Conditions, Failure, Record, Spread, collect
from tresnet_lite.records.store import Measured
from tresnet_lite.train.digits import SIDE, Digits

SUITE = "ablation"
SHIPPED = ("digits", "photographs")  # sets that need no network
WIDTH = 8  # channels of the stem, where the paper's ladder has 64
SHALLOWER = 5.5  # 3, 4, 6, 3 blocks become 1, 1, 1, 1, and 3, 4, 11, 3 become 1, 1, 2, 1


@dataclass(frozen=True)
class Training:
    """How the networks of one set of images are trained.

    Attributes:
        seeds: networks of each rung. A seed draws the weights and the order of the images.
        lr: the peak of the one-cycle learning rate.
        images: how many of the images to train on; None for all.
    """

    seeds: int
    epochs: int
    batch: int = 64
    lr: float = 0.2
    images: int | None = None

    def __post_init__(self) -> None:
        for name in ("seeds", "epochs"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}: it must be a whole number, 1 or more")

    def __str__(self) -> str:
        return f"{self.seeds} seed{'s' if self.seeds > 1 else ''}, {self.settings}"

    @property
    def settings(self) -> str:
        images = f" of {self.images} images" if self.images else ""
        epochs = f"{self.epochs} epoch{'s' if self.epochs > 1 else ''}{images}"
        return f"{epochs} in batches of {self.batch}, peak rate {self.lr:g}, width {WIDTH}"

    def case(self, data: str) -> str:
        """What a record is filed under: all settings in words."""
        return f"{data}, {self.settings}"


Task = tuple[str, str, int, Training]  # set of images, rung, seed, how
TRAININGS: dict[str, dict[str, Training]] = {  # profile → set of images → training
    "smoke": dict.fromkeys(SHIPPED, Training(seeds=2, epochs=1, images=256)),
    "cpu": dict.fromkeys(SHIPPED, Training(seeds=5, epochs=4)),
    "gpu": dict.fromkeys(SHIPPED, Training(seeds=20, epochs=6))
    | {"CIFAR-10": Training(seeds=10, epochs=10, batch=512, lr=0.4)},
}


def small_ladder() -> dict[str, TResNetConfig]:
    """The ladder with an eighth of the width and few blocks: what a rung changes is what it changes
    in the paper's.

    SE has the printed reduction, as the coded one would never squeeze below 64 channels, more than
    these maps have.
    """
    return {rung: _smaller(config) for rung, config in ablation_ladder().items()}


def _smaller(config: TResNetConfig) -> TResNetConfig:
    depths = tuple(max(1, round(depth / SHALLOWER)) for depth in config.depths)
    return replace(config, width=WIDTH, depths=depths, se_reduction="paper")


def trainings(
    profile: Profile, *, seeds: int | None = None, epochs: int | None = None
) -> dict[str, Training]:
    """A profile's trainings, set by set; `seeds` and `epochs` replace its own. ValueError if they
    are below 1.
    """
    given = {
        name: value for name, value in (("seeds", seeds), ("epochs", epochs)) if value is not None
    }
    return {data: replace(training, **given) for data, training in TRAININGS[profile.name].items()}


def find_images(
    wanted: Mapping[str, Training], profile: Profile
) -> tuple[dict[str, Digits], dict[str, str]]:
    """The sets of images that can be had, on the profile's device, and for each other one why it is
    not attempted.
    """
    found, missing = {}, {}
    for name in SETS:
        if name not in wanted:
            missing[name] = f"profile {profile.name!r} trains on images that come with packages"
            continue
        try:
            found[name] = _images(name, profile.device)
        except ConnectionError as error:
            missing[name] = str(error)
    return found, missing


@cache
def _images(name: str, device: str) -> Digits:
    return SETS[name](device)


def measure(
    wanted: Mapping[str, Training], profile: Profile, *, minutes: float | None = None
) -> Measured:
    """Train what the run's file lacks and record each network when it is ready; the rest is taken
    from the file.

    All rungs of one seed come before the next seed, so that whatever is finished can be compared.

    Args:
        wanted: trainings, set by set.
        minutes: start no training after that; the next call goes on from there.

    Returns:
        all records and failures of the suite, the committed ones first.
    """
    train_missing(_train, _tasks(wanted), point, profile, minutes=minutes)
    return recorded(profile, SUITE)


def _tasks(wanted: Mapping[str, Training]) -> list[Task]:
    most = max((training.seeds for training in wanted.values()), default=0)
    seeds = [
        (seed, data, how)
        for seed in range(most)
        for data, how in wanted.items()
        if seed < how.seeds
    ]
    return [(data, rung, seed, how) for seed, data, how in seeds for rung in ablation_ladder()]


def point(data: str, rung: str, seed: int, training: Training) -> str:
    """What makes two trainings the same: the settings, and the network's configuration in short."""
    configuration = hashlib.sha256(repr(asdict(small_ladder()[rung])).encode()).hexdigest()[:8]
    return f"{training.case(data)}, seed {seed}, {rung} ({configuration})"


def _train(
    data: str, rung: str, seed: int, training: Training, profile: Profile
) -> Record | Failure:
    """Train one network and tell its accuracy on the held-out images. One whose weights are no
    numbers has failed.
    """
    told = {"suite": SUITE, "case": training.case(data), "model": rung, "phase": "training"}
    told |= {"point": point(data, rung, seed, training), "provenance": collect(profile.device)}
    told |= {"seed": seed}
    images = _images(data, profile.device)
    network = new_network(rung, images, seed)
    few = replace(
        images, images=images.images[: training.images], labels=images.labels[: training.images]
    )
    train(network, few, seed=seed, epochs=training.epochs, batch=training.batch, lr=training.lr)
    if not all(tensor.isfinite().all() for tensor in network.state_dict().values()):
        return Failure(
            error="diverged", message="a weight is no finite number after training", **told
        )
    top1 = accuracy(network, images.held_out_images, images.held_out_labels)
    ran = Conditions(training.batch, SIDE, norm=norm_backend(network))
    return Record(metric="top1", value=Spread(top1, top1, top1, 1), conditions=ran, **told)


def new_network(rung: str, images: Digits, seed: int) -> TResNet:
    """A rung of `small_ladder` for a set of images, with weights drawn from a seed."""
    torch.manual_seed(seed)
    classes = int(images.labels.max()) + 1
    return TResNet(small_ladder()[rung], num_classes=classes, in_chans=images.images.shape[1])
