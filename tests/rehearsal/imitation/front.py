"""What torch.cuda tells of the imitated GPU, and torch's functions that would ask a driver."""

from __future__ import annotations

import contextlib
import gc
import time
from types import SimpleNamespace
from typing import Any

import torch
from torch.utils._pytree import tree_map

from imitation import precision
from imitation.card import PREFIX, UUID
from imitation.tensors import CARD, CPU, GPU, MEMORY, GpuTensor, OnGpu

PROPERTIES = SimpleNamespace(
    name=PREFIX + CARD.name,
    major=CARD.major_minor[0],
    minor=CARD.major_minor[1],
    total_memory=MEMORY.total,
    uuid=UUID,
    multi_processor_count=80,
    L2_cache_size=6 << 20,
)
ARCHITECTURES = ["sm_70", "sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]
# Torch does not hold the mode itself.
_mode = OnGpu()


def install() -> None:
    """Make this process believe in the GPU."""
    for name, answer in (_facts() | _memory()).items():
        setattr(torch.cuda, name, answer)
    # A function each, because torch.compile's rules tell functions apart by their identity.
    for name in ("_lazy_init", "init", "empty_cache", "set_device", "ipc_collect"):
        setattr(torch.cuda, name, lambda *_, **__: None)
    torch.cuda.synchronize = _synchronize
    for name in ("manual_seed", "manual_seed_all"):
        setattr(torch.cuda, name, lambda seed: None)
    torch.cuda.Event, torch.cuda.Stream = Event, Stream
    torch.cuda.current_stream = torch.cuda.default_stream = lambda _=None: Stream()
    torch.cuda.stream = torch.cuda.device = lambda _=None: contextlib.nullcontext()
    torch.accelerator.set_device_index = lambda *_: None
    torch.accelerator.current_device_index = lambda: 0
    _install_precision()
    _install_moves()
    _install_substitutes()
    _mode.__enter__()


def _synchronize(_: Any = None) -> None:
    """Nothing is queued; but each tensor is a Python object here, and clearing away those of a
    block whose clock keeps the collector out would look like work of the device.
    """
    gc.collect(0)


def _facts() -> dict[str, Any]:
    return {
        "is_available": lambda: CARD.visible,
        "is_initialized": lambda: CARD.visible,
        "device_count": lambda: int(CARD.visible),
        "current_device": lambda: 0,
        "get_device_properties": lambda _=None: PROPERTIES,
        "get_device_name": lambda _=None: PROPERTIES.name,
        "get_device_capability": lambda _=None: CARD.major_minor,
        "get_arch_list": lambda: list(ARCHITECTURES),
        "is_bf16_supported": lambda including_emulation=True: (
            including_emulation or CARD.major_minor >= (8, 0)
        ),
        "get_rng_state": lambda _=None: torch.get_rng_state(),
        "set_rng_state": lambda state, _=None: torch.set_rng_state(state),
    }


def _memory() -> dict[str, Any]:
    return {
        "memory_allocated": lambda _=None: MEMORY.now,
        "memory_reserved": lambda _=None: MEMORY.now,
        "max_memory_allocated": lambda _=None: MEMORY.peak,
        "max_memory_reserved": lambda _=None: MEMORY.peak,
        "reset_peak_memory_stats": lambda _=None: MEMORY.reset_peak(),
        "set_per_process_memory_fraction": _limit_memory,
        "mem_get_info": lambda _=None: (MEMORY.free_at_start - MEMORY.now, MEMORY.total),
    }


def _limit_memory(share: float, device: Any = None) -> None:
    if isinstance(device, torch.device) and device.index is None:
        wanted = "Expected a torch.device with a specified index or an integer"
        raise ValueError(f"{wanted}, but got:{device}")  # torch's words
    MEMORY.limit_to(share)


class Event:
    """A moment on the clock: work is done when a call returns."""

    def __init__(self, enable_timing: bool = False, **_: Any) -> None:
        self.moment: float | None = None

    def record(self, _: Any = None) -> None:
        self.moment = time.perf_counter()

    def elapsed_time(self, end: Event) -> float:
        """Milliseconds to another event."""
        if self.moment is None or end.moment is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        return 1e3 * (end.moment - self.moment)

    def synchronize(self) -> None: ...

    def wait(self, _: Any = None) -> None: ...

    def query(self) -> bool:
        return True


class Stream:
    """The only queue there is, always empty."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def synchronize(self) -> None: ...

    def wait_stream(self, _: Any) -> None: ...

    def wait_event(self, _: Any) -> None: ...

    def record_event(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record()
        return event

    def query(self) -> bool:
        return True


def _install_precision() -> None:
    torch.autocast = torch.amp.autocast = precision.Autocast
    torch.is_autocast_enabled = precision.is_enabled
    torch.get_autocast_dtype = precision.current_dtype


def _is_cuda(x: Any) -> bool:
    """Does it name the GPU, as a text or a device?"""
    return isinstance(x, str | torch.device) and torch.device(x).type == "cuda"


def _install_moves() -> None:
    """To the GPU and back: a plain "cuda" would ask the driver for its index."""
    move, load, save, make_generator = torch.Tensor.to, torch.load, torch.save, torch.Generator
    move_module = torch.nn.Module.to

    def to(self, *args, **kwargs):
        there = None if isinstance(self, GpuTensor) else GPU  # None: it is there already
        args, kwargs = tree_map(lambda x: there if _is_cuda(x) else x, (list(args), kwargs))
        if there is None and all(x is None or isinstance(x, bool) for x in _values(args, kwargs)):
            return self
        return move(self, *args, **kwargs)

    def module_to(self, *args, **kwargs):
        """A module that is there already keeps its parameters, which optimisers may hold."""
        tensors = [*self.parameters(), *self.buffers()]
        values = _values(args, kwargs)
        if (
            tensors
            and all(isinstance(tensor, GpuTensor) for tensor in tensors)
            and all(x is None or isinstance(x, bool) or _is_cuda(x) for x in values)
        ):
            return self
        return move_module(self, *args, **kwargs)

    def load_there(file, map_location=None, **kwargs):
        if not _is_cuda(map_location):
            return load(file, map_location=map_location, **kwargs)
        found = load(file, map_location=CPU, **kwargs)
        return tree_map(lambda x: to(x, GPU) if isinstance(x, torch.Tensor) else x, found)

    def save_plain(what, *args, **kwargs):
        return save(tree_map(_on_cpu, what), *args, **kwargs)

    class Generator(make_generator):
        @staticmethod
        def __new__(cls, device="cpu"):
            return make_generator.__new__(cls, CPU if _is_cuda(device) else device)

    torch.Tensor.to, torch.Tensor.cuda = to, lambda self, *_, **__: to(self, GPU)
    torch.nn.Module.to = module_to
    torch.Tensor.pin_memory = lambda self, *_: self
    torch.load, torch.save, torch.Generator = load_there, save_plain, Generator
    # `parameter.data = moved` would leave the inner tensor behind.
    torch.__future__.set_overwrite_module_params_on_conversion(True)


def _values(args: list, kwargs: dict) -> list:
    return [*args, *kwargs.values()]


def _on_cpu(x: Any) -> Any:
    return x.detach().inner if isinstance(x, GpuTensor) else x


def _install_substitutes() -> None:
    """The profiler's times are the CPU's; nothing compiles; inference_mode is no_grad."""
    profile, activities = torch.profiler.profile, [torch.profiler.ProfilerActivity.CPU]
    average = torch.autograd.profiler_util.FunctionEventAvg

    def profile_cpu(*args, **kwargs):
        return profile(*args, **kwargs | {"activities": activities})

    def compile_nothing(model=None, **_):
        return model if model is not None else lambda function: function

    torch.profiler.profile = profile_cpu
    average.self_device_time_total = property(
        lambda self: self.self_cpu_time_total, lambda self, value: None
    )
    torch.compile = compile_nothing
    torch.inference_mode = lambda mode=True: torch.no_grad() if mode else torch.enable_grad()
