"""Where training's memory goes: what autograd keeps for backward (paper §2.1 and §2.2.2).

    python -m tresnet_lite.counting.kept     what each `memory` setting keeps, beside its target

Sizes are counted in bytes; MB is 10⁶ of them.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from tresnet_lite import __version__
from tresnet_lite.counting.shapes import PlainShapes, storage_of
from tresnet_lite.model import create_model
from tresnet_lite.profiles import DTYPES

# By the setting of `memory`: how many times as much as TResNet-M ResNet50 must keep, in bfloat16
TARGETS = {"paper": 1.75, "lean": 1.95, "recompute": 2.5, "min": 5.5}


@dataclass(frozen=True)
class Kept:
    """One storage that autograd keeps.

    Attributes:
        module: path of the module whose forward kept it first, such as ``body.layer3.4.conv2.bn``.
        kind: that module's class, such as ``InPlaceABN``.
        shape, dtype: of the tensor through which it was kept.
        bytes: of the whole storage.
    """

    module: str
    kind: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    bytes: int

    @property
    def stage(self) -> str:
        """``stem``, ``layer1`` … ``layer4`` or ``head`` of our networks; else the first name."""
        names = self.module.split(".")
        if names[0] == "body" and len(names) > 1:
            return names[1] if names[1].startswith("layer") else "stem"
        return names[0]


def kept_for_backward(model: nn.Module, x: Tensor) -> list[Kept]:
    """What a forward of ``model`` on ``x`` keeps for backward, each storage once, no parameters.

    The forward really runs, in the mode and under the autocast that the caller has set; on the meta
    device it costs nothing. The input counts where a layer keeps it.

    Args:
        x: a batch of images, (B, C, H, W).
    """
    own = {storage_of(t) for t in (*model.parameters(), *model.buffers())}
    kept: dict[int, Kept] = {}
    alive = []  # a freed storage's address would be given out again
    with _current_module(model) as current:

        def pack(tensor: Tensor) -> Tensor:
            key, size = storage_of(tensor), tensor.untyped_storage().nbytes()
            if key not in own and key not in kept:
                kept[key] = Kept(*current(), tuple(tensor.shape), tensor.dtype, size)
                alive.append(tensor.detach())
            return tensor

        with PlainShapes(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = model(x)
    del output
    return list(kept.values())


def bytes_per_image(
    model: nn.Module, make_images: Callable[[int], Tensor]
) -> dict[tuple[str, str], float]:
    """Bytes kept for each further image, by (stage, kind of module).

    It is the slope between batches of 2 and 4, which leaves out what is kept once, such as the
    half-precision copies of the weights under autocast. On the meta device, where images cost
    nothing, one batch of 2³⁰ gives both: what is kept once is the division's rest.

    Args:
        make_images: batch size → images.
    """
    pair = make_images(2)
    if pair.is_meta:
        many = _bytes_by_kind(model, make_images(2**30))
        return {key: float(total // 2**30) for key, total in many.items()}
    few, many = _bytes_by_kind(model, pair), _bytes_by_kind(model, make_images(4))
    return {key: (total - few.get(key, 0)) / 2 for key, total in many.items()}


def training_memory(
    network: nn.Module, make_images: Callable[[int], Tensor]
) -> tuple[float, float]:
    """Bytes that training holds for any batch, and bytes for each image; nothing is run.

    The first are weights, momentum and statistics, in float32; the second what autograd keeps for
    backward. Passing buffers and the gradients are left out: where the activations reach their
    peak, the gradients of the weights have only begun to appear. Arguments as `bytes_per_image`'s.
    """
    parameters = sum(p.numel() for p in network.parameters())
    statistics = sum(b.numel() for b in network.buffers())
    kept = bytes_per_image(network, make_images)
    return 4 * (2 * parameters + statistics), sum(kept.values())


def _bytes_by_kind(model: nn.Module, images: Tensor) -> dict[tuple[str, str], int]:
    total: dict[tuple[str, str], int] = {}
    for kept in kept_for_backward(model, images):
        total[kept.stage, kept.kind] = total.get((kept.stage, kept.kind), 0) + kept.bytes
    return total


def kept_mb(network: nn.Module, input_size: tuple[int, ...] = (3, 224, 224)) -> float:
    """MB that training keeps for each further image: the sum of `bytes_per_image`.

    The network is put in training mode; the images, (B, *input_size), are in its parameters' dtype
    and on their device.
    """
    weight = next(network.parameters())

    def images(batch: int) -> Tensor:
        return torch.zeros(batch, *input_size, device=weight.device, dtype=weight.dtype)

    return sum(bytes_per_image(network.train(), images).values()) / 1e6


@cache
def kept_per_image(
    name: str, dtype: str = "float32", **options: str
) -> Mapping[tuple[str, str], float]:
    """`bytes_per_image` of a named network at 224 px, all in one dtype, on the meta device.

    Args:
        name, options: as `create_model` takes them.
        dtype: a key of `DTYPES`. Halves take the same bytes, whichever half it is.
    """

    def images(batch: int) -> Tensor:
        return torch.empty(batch, 3, 224, 224, dtype=DTYPES[dtype])

    with torch.device("meta"):
        model = create_model(name, **options).to(DTYPES[dtype]).train()
        return MappingProxyType(bytes_per_image(model, images))


@dataclass(frozen=True)
class Setting:
    """Bytes kept per image at 224 px, and ResNet50's bytes over these in bfloat16."""

    network: str
    norm: str
    memory: str
    float32: float
    bfloat16: float
    ratio: float
    target: float | None = None

    @property
    def missed(self) -> bool:
        """Whether the ratio is below its target."""
        return self.target is not None and self.ratio < self.target


def memory_settings() -> list[Setting]:
    """ResNet50, then TResNet-M on BatchNorm and with Inplace-ABN under each setting of `memory`."""
    networks = [("resnet50", "bn", "paper"), ("tresnet_m", "bn", "paper")]
    networks += [("tresnet_m", "iabn", memory) for memory in TARGETS]
    rows: list[Setting] = []
    for name, norm, memory in networks:
        kept = partial(kept_per_image, name, norm=norm, memory=memory)
        full, half = (sum(kept(dtype).values()) for dtype in ("float32", "bfloat16"))
        ratio = rows[0].bfloat16 / half if rows else 1.0
        target = TARGETS[memory] if norm == "iabn" else None
        rows.append(Setting(name, norm, memory, full, half, ratio, target))
    return rows


@contextmanager
def _current_module(model: nn.Module) -> Iterator[Callable[[], tuple[str, str]]]:
    """While entered, tells (path, class name) of the innermost module whose forward is running.

    The hooks are on all modules at once: one with a hook of its own is called, where training would
    replace it by an operation that keeps less.
    """
    paths = {module: path for path, module in model.named_modules()}
    running: list[tuple[str, str]] = []

    def enter(module: nn.Module, _: object) -> None:
        if module in paths:
            running.append((paths[module], type(module).__name__))

    def leave(module: nn.Module, _: object, __: object) -> None:
        if module in paths:
            running.pop()

    entering = register_module_forward_pre_hook(enter)
    leaving = register_module_forward_hook(leave, always_call=True)
    try:
        yield lambda: running[-1]
    finally:
        entering.remove()
        leaving.remove()


def main() -> int:
    """Print the table of `memory_settings`; 1 if a target is missed."""
    unit = "MB (10⁶ bytes)"
    print(f"Kept for backward per image at 224 px, {unit}, counted (tresnet_lite {__version__});")
    print("resnet50 is this package's, not timm's\n")
    head = ("network", "norm", "memory", "float32", "bfloat16", "ResNet50 ÷ it", "target")
    print("{:10} {:5} {:10} {:>8} {:>9} {:>14} {:>7}".format(*head))
    settings = memory_settings()
    for row in settings:
        sizes = f"{row.float32 / 1e6:8.2f} {row.bfloat16 / 1e6:9.2f} {row.ratio:14.3f}"
        target = f"≥ {row.target:.2f}" if row.target else ""
        mark = " missed" if row.missed else ""
        print(f"{row.network:10} {row.norm:5} {row.memory:10} {sizes} {target:>7}{mark}")
    return int(any(row.missed for row in settings))


if __name__ == "__main__":
    sys.exit(main())
