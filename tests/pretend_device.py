"""A pretended CUDA device: tensors say `cuda:0` and hold CPU data.

    with pretend_device() as device:
        train(..., device="cuda")
    device.work.launches, device.num_syncs

Tensors are plain. What is "on the device" is a mark on a tensor's storage. One mode answers what Python asks of tensors
(`.device`, `.to`, `.numpy`, factories with `device=`). Another sees every operation below autograd, refuses tensors of
two devices as CUDA does, hands the mark on, and counts work, waits and copies by the line of the library that asked
for them. `torch.cuda` is patched for the time.

It is faithful to device rules, NumPy's rules, generators and their states, operations without a CUDA kernel (torch
knows them on any machine), integer matrix products, and the precision that the flags of torch ask for: with TF32 on,
factors of convolutions and matrix products lose their last 13 bits. It says nothing about streams, graphs, memory,
NCCL, torch.compile and the choice of kernels.

As a pytest plugin, for tests that ask for a device: `python -m pytest -p tests.pretend_device --pretend-device -m gpu`.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from pumalib.planning.operations import Operation, Work, num_launches, observed
from tests.pretend_kernels import KERNELS

_RealGenerator = torch.Generator
_WAITS = {
    *("nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "bincount", "equal"),
    *("repeat_interleave", "linalg_inv_ex"),
}
"""Operations whose result has a shape, or a truth, that the host must know."""
_ALSO_POINTWISE = {
    *("copy_", "_to_copy", "fill", "fill_", "masked_fill", "masked_fill_", "where", "lerp", "lerp_", "clamp", "set_"),
    *("index", "index_put", "index_put_", "_index_put_impl_", "div", "div_", "mul", "mul_"),
}
"""Operations that take a number on the CPU beside tensors on the device, without the tag."""
_OF_CPU_ALONE = "for_cpu"
_TF32_BITS = 13
"""Bits of a float32 that TF32 drops."""


class OtherDeviceError(RuntimeError):
    """What CUDA says where tensors of two devices meet."""


class Generator(_RealGenerator):
    """A generator that knows which device it was made for."""

    def __new__(cls, device: Any = "cpu") -> Generator:
        made = super().__new__(cls, "cpu")
        made.on = torch.device(device)
        return made

    @property
    def device(self) -> torch.device:
        return torch.device("cuda", self.on.index or 0) if self.on.type == "cuda" else self.on

    def set_state(self, state: Tensor) -> Generator:
        if is_on(state):
            raise TypeError("expected a torch.ByteTensor, but got torch.cuda.ByteTensor")
        return super().set_state(state)


class Device:
    """The pretended devices, and what was asked of them.

    Attributes:
        work: launches, bytes, FLOPs.
        syncs: how often the host waited, by (reason, line of the library).
        copies: bytes between host and device, by ("h2d" or "d2h", line of the library).
        no_kernel: operations that CUDA does not have, by (operation, line).
        layouts: convolutions by (type, "NHWC" or "NCHW").
        batch_sizes: of convolutions: each new one is planned anew.
        current: index of the device in use.
    """

    def __init__(self, count: int) -> None:
        self.generators = [Generator(f"cuda:{index}") for index in range(count)]
        for generator in self.generators:
            generator.manual_seed(0)
        self.current = 0
        self.asks: list[_Asked] = []
        self.work = Work()
        self.clear()

    def clear(self) -> None:
        """Forget what was counted."""
        self.work.clear()
        self.syncs: Counter[tuple[str, str]] = Counter()
        self.copies: Counter[tuple[str, str]] = Counter()
        self.no_kernel: Counter[tuple[str, str]] = Counter()
        self.layouts: Counter[tuple[str, str]] = Counter()
        self.batch_sizes: Counter[int] = Counter()

    @property
    def num_syncs(self) -> int:
        return sum(self.syncs.values())

    def bytes_copied(self, way: str) -> int:
        return sum(count for (direction, _), count in self.copies.items() if direction == way)

    @contextmanager
    def own_random_numbers(self) -> Iterator[None]:
        """Let an operation that takes no generator draw from that of the device in use."""
        generator, of_cpu = self.generators[self.current], torch.get_rng_state()
        torch.set_rng_state(generator.get_state())
        try:
            yield
        finally:
            generator.set_state(torch.get_rng_state())
            torch.set_rng_state(of_cpu)

    def wait(self, reason: str) -> None:
        self.syncs[reason, line_of_library()] += 1

    def copy(self, tensor: Tensor, to_device: bool, waits: bool = True) -> None:
        way = "h2d" if to_device else "d2h"
        self.copies[way, line_of_library()] += tensor.numel() * tensor.element_size()
        self.work.launches += 1
        if waits:
            self.wait(f"copy {way}")


class _Asked:
    """What a call of torch from Python asks for: results on the device or not (None: not said), a generator."""

    def __init__(self, on: bool | None, crosses: bool, generator: Any = None) -> None:
        self.on, self.crosses, self.generator = on, crosses, generator


def _storage(tensor: Tensor) -> Any:
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor.untyped_storage()


def is_on(tensor: Tensor) -> bool:
    """Say whether a tensor is on the pretended device."""
    return getattr(_storage(tensor), "is_pretended", False)


def put(tensor: Tensor) -> Tensor:
    """Mark a tensor as one of the device."""
    _storage(tensor).is_pretended = True
    return tensor


def line_of_library() -> str:
    """Return the innermost line of the library, or of a benchmark, on the stack."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        for root in ("/pumalib/", "/benchmarks/"):
            if root in path:
                return f"{path.rpartition(root)[2]}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"


class _Operations(TorchDispatchMode):
    """Every operation below autograd."""

    def __init__(self, device: Device) -> None:
        super().__init__()
        self._device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = func._schema.name.split("::")[1]
        tensors = [part for part in tree_flatten((args, kwargs))[0] if isinstance(part, Tensor)]
        asked = self._device.asks[-1] if self._device.asks else _Asked(None, False)
        out_on = self._where(func, name, args, tensors, asked)
        self._choose_generator(func, name, kwargs, out_on, asked)
        if not out_on:
            return func(*args, **kwargs)
        draws = torch.Tag.nondeterministic_seeded in func.tags and "generator" not in kwargs
        with self._device.own_random_numbers() if draws else nullcontext():
            result = KERNELS.get(name, func)(*_rounded(name, args), **kwargs)
        operation = observed(func, args, kwargs, result)
        for tensor in operation.outputs:
            put(tensor)
        self._note(operation)
        return result

    def _where(self, func: Any, name: str, args: Any, tensors: list[Tensor], asked: _Asked) -> bool:
        """Say whether the result is on the device; refuse what CUDA refuses."""
        on = [is_on(tensor) for tensor in tensors]
        if not tensors:
            return bool(asked.on)
        if name in ("copy_", "_foreach_copy_"):
            if name == "copy_" and on[0] != on[1]:
                self._device.copy(tensors[1], on[0])
            return on[0]
        if (
            asked.crosses
            and asked.on is not None
            and (name == "_to_copy" or name.startswith("new_") or "_like" in name)
        ):
            return asked.on
        if any(on) and not all(on):
            self._expect_numbers(func, name, args, tensors, on)
        return any(on)

    def _expect_numbers(self, func: Any, name: str, args: Any, tensors: list[Tensor], on: list[bool]) -> None:
        """Refuse tensors of two devices, but for single numbers and indices on the CPU."""
        on_cpu = [tensor for tensor, is_there in zip(tensors, on, strict=True) if not is_there]
        indices = args[1] if name.startswith(("index", "_index_put")) and isinstance(args[1], list | tuple) else ()
        if on[0] and indices and all(t.dim() == 0 or any(t is index for index in indices) for t in on_cpu):
            for tensor in on_cpu:
                self._device.copy(tensor, True)
            return
        is_pointwise = torch.Tag.pointwise in func.tags or name in _ALSO_POINTWISE or name.startswith("_foreach")
        alias = func._schema.arguments[0].alias_info
        writes_cpu = alias is not None and alias.is_write and isinstance(args[0], Tensor) and not is_on(args[0])
        if is_pointwise and not writes_cpu and all(tensor.dim() == 0 for tensor in on_cpu):
            return
        found = ", ".join(
            f"{list(t.shape)} on {'cuda:0' if there else 'cpu'}" for t, there in zip(tensors, on, strict=True)
        )
        raise OtherDeviceError(
            "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! "
            f"({func}: {found}; {line_of_library()})"
        )

    def _choose_generator(self, func: Any, name: str, kwargs: dict[str, Any], out_on: bool, asked: _Asked) -> None:
        if all(argument.name != "generator" for argument in func._schema.arguments):
            return
        if kwargs.get("generator") is None:
            if out_on:
                kwargs["generator"] = self._device.generators[self._device.current]
            return
        given = asked.generator  # the dispatcher has wrapped what was given anew
        kind = given.on.type if isinstance(given, Generator) else "cpu"
        if (kind == "cuda") != out_on:
            wanted = "cuda" if out_on else "cpu"
            raise OtherDeviceError(f"Expected a '{wanted}' device type for generator but found '{kind}' ({func})")

    def _note(self, operation: Operation) -> None:
        device, name, overload = self._device, operation.name, operation.overload
        if name == "_local_scalar_dense":
            device.copies["d2h", line_of_library()] += operation.tensors[0].element_size()
            device.wait("item")
        if name in _WAITS:
            device.wait(name)
        if operation.masks:
            device.wait("index by booleans")
        device.work.add(operation)
        if not num_launches(operation):
            return
        has_kernel = torch._C._dispatch_has_computed_kernel_for_dispatch_key(overload.name(), "CUDA")
        of_integers = name in ("mm", "addmm", "bmm", "baddbmm", "convolution") and not all(
            tensor.is_floating_point() for tensor in operation.tensors
        )
        if (not has_kernel and _OF_CPU_ALONE not in name) or of_integers:
            device.no_kernel[overload.name(), line_of_library()] += 1
        if name == "convolution":
            images = operation.tensors[0]
            device.batch_sizes[len(images)] += 1
            is_nhwc = images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()
            device.layouts[str(images.dtype).removeprefix("torch."), "NHWC" if is_nhwc else "NCHW"] += 1


_CONVOLUTIONS, _PRODUCTS = ("convolution", "convolution_backward"), ("mm", "addmm", "bmm", "baddbmm")


def _rounded(name: str, args: Any) -> Any:
    """Return arguments as the tensor cores read them: of TF32 where the flags of torch allow it."""
    allowed = (name in _CONVOLUTIONS and torch.backends.cudnn.allow_tf32) or (
        name in _PRODUCTS and torch.backends.cuda.matmul.allow_tf32
    )
    if not allowed:
        return args
    factors = {"convolution": (0, 1), "convolution_backward": (0, 1, 2), "mm": (0, 1), "bmm": (0, 1)}.get(name, (1, 2))
    return tuple(
        to_tf32(part) if place in factors and isinstance(part, Tensor) and part.dtype == torch.float32 else part
        for place, part in enumerate(args)
    )


def to_tf32(values: Tensor) -> Tensor:
    """Round float32 to the nearest TF32, ties to even."""
    bits = values.view(torch.int32)
    half = (1 << (_TF32_BITS - 1)) - 1
    rounded = (bits + half + ((bits >> _TF32_BITS) & 1)) & ~((1 << _TF32_BITS) - 1)
    return rounded.view(torch.float32)


class _Questions(TorchFunctionMode):
    """What Python asks of tensors, and calls that name a device."""

    def __init__(self, device: Device) -> None:
        super().__init__()
        self._device = device

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if first is not None:
            if name == "__get__":
                return self._property(func, first, args, kwargs)
            if name in ("to", "cpu", "cuda"):
                return self._moved(first, *({"to": (), "cpu": ("cpu",), "cuda": ("cuda",)}[name]), *args[1:], **kwargs)
            if name in ("numpy", "__array__") and is_on(first):
                raise TypeError(
                    "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host "
                    "memory first."
                )
            if name == "tolist" and is_on(first):
                self._device.copies["d2h", line_of_library()] += first.numel() * first.element_size()
                self._device.wait("tolist")
            if name == "get_device":
                return self._device.current if is_on(first) else -1
            if name == "pin_memory":
                pinned = first.clone()
                _storage(pinned).is_pinned_ = True
                return pinned
        if name in ("tensor", "as_tensor", "asarray", "new_tensor"):
            return self._made(func, name, args, kwargs)
        if kwargs.get("device") is not None and name not in ("load", "Generator"):
            on = torch.device(kwargs["device"]).type == "cuda"
            kwargs["device"] = torch.device("cpu")
            return self._asking(_Asked(on, True, kwargs.get("generator")), func, args, kwargs)
        on = any(isinstance(part, Tensor) and is_on(part) for part in tree_flatten((args, kwargs))[0])
        return self._asking(_Asked(on, False, kwargs.get("generator")), func, args, kwargs)

    def _asking(self, asked: _Asked, func: Any, args: Any, kwargs: Any) -> Any:
        self._device.asks.append(asked)
        try:
            return func(*args, **kwargs)
        finally:
            self._device.asks.pop()

    def _property(self, func: Any, tensor: Tensor, args: Any, kwargs: Any) -> Any:
        what = getattr(getattr(func, "__self__", None), "__name__", "")
        on = is_on(tensor)
        if what == "device":
            return torch.device("cuda", self._device.current) if on else torch.device("cpu")
        if what in ("is_cuda", "is_cpu"):
            return on == (what == "is_cuda")
        return func(*args, **kwargs)

    def _made(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        """Make a tensor of numbers on the host, below the dispatcher, and move it."""
        device = kwargs.pop("device", None)
        data = args[0] if args else kwargs.get("data")
        if name != "new_tensor" and isinstance(data, Tensor):
            return data if device is None and not kwargs else self._moved(data, device, **kwargs)
        own = name == "new_tensor" and is_on(args[0])
        made = func(*args, **kwargs)
        if own if device is None else torch.device(device).type == "cuda":
            made = put(made.clone())
            self._device.copy(made, True)
        return made

    def _moved(self, tensor: Tensor, *args: Any, copy: bool = False, non_blocking: bool = False, **kwargs: Any) -> Any:
        memory_format = kwargs.pop("memory_format", None) or torch.preserve_format
        other = next((part for part in (*args, kwargs.pop("other", None)) if isinstance(part, Tensor)), None)
        if other is not None:
            on, dtype = is_on(other), other.dtype
        else:
            device, dtype, also_non_blocking, _ = torch._C._nn._parse_to(*args, **kwargs)
            on = is_on(tensor) if device is None else device.type == "cuda"
            non_blocking = non_blocking or also_non_blocking
        crosses = on != is_on(tensor)
        if crosses:
            is_pinned = getattr(_storage(tensor), "is_pinned_", False)
            self._device.copy(tensor, on, waits=not (on and non_blocking and is_pinned))
        how = {"dtype": dtype or tensor.dtype, "copy": copy or crosses, "memory_format": memory_format}
        return self._asking(_Asked(on, crosses), torch.Tensor.to, (tensor,), how)


def _patches(device: Device) -> dict[tuple[Any, str], Any]:
    cuda = torch.cuda

    def index_of(choice: Any) -> int:
        if choice is None:
            return device.current
        index = choice if isinstance(choice, int) else torch.device(choice).index
        return device.current if index is None else index

    def seed_all(seed: int) -> None:
        for generator in device.generators:
            generator.manual_seed(seed)

    def get_state(choice: Any = "cuda") -> Tensor:
        return device.generators[index_of(choice)].get_state()

    def set_state(state: Tensor, choice: Any = "cuda") -> None:
        device.generators[index_of(choice)].set_state(state)

    def set_states(states: list[Tensor]) -> None:
        for index, state in enumerate(states):
            set_state(state, index)

    def properties(choice: Any = None) -> SimpleNamespace:
        about = {"name": "pretended", "total_memory": 80 << 30, "major": 9, "minor": 0, "multi_processor_count": 132}
        return SimpleNamespace(uuid=f"pretended-{index_of(choice)}", **about)

    real_load = torch.load

    def load(file: Any, map_location: Any = None, **kwargs: Any) -> Any:
        found = real_load(file, map_location="cpu", **kwargs)
        if map_location is not None and torch.device(map_location).type == "cuda":
            for part in tree_flatten(found)[0]:
                if isinstance(part, Tensor):
                    put(part)
        return found

    class Autocast(torch.autocast):  # type: ignore[misc]
        def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
            super().__init__("cpu" if device_type == "cuda" else device_type, *args, **kwargs)

    return {
        (cuda, "is_available"): lambda: True,
        (cuda, "is_initialized"): lambda: True,
        (cuda, "device_count"): lambda: len(device.generators),
        (cuda, "current_device"): lambda: device.current,
        (cuda, "set_device"): lambda choice: setattr(device, "current", index_of(choice)),
        (cuda, "get_device_name"): lambda choice=None: "pretended",
        (cuda, "get_device_properties"): properties,
        (cuda, "get_device_capability"): lambda choice=None: (9, 0),
        (cuda, "synchronize"): lambda choice=None: device.wait("synchronize"),
        (cuda, "mem_get_info"): lambda choice=None: (70 << 30, 80 << 30),
        (cuda, "memory_reserved"): lambda choice=None: 0,
        (cuda, "memory_allocated"): lambda choice=None: 0,
        (cuda, "empty_cache"): lambda: None,
        (cuda, "manual_seed"): lambda seed: device.generators[device.current].manual_seed(seed),
        (cuda, "manual_seed_all"): seed_all,
        (cuda, "get_rng_state"): get_state,
        (cuda, "set_rng_state"): set_state,
        (cuda, "get_rng_state_all"): lambda: [get_state(index) for index in range(len(device.generators))],
        (cuda, "set_rng_state_all"): set_states,
        (cuda, "_is_in_bad_fork"): lambda: False,
        (cuda, "is_current_stream_capturing"): lambda: False,
        (cuda, "_lazy_init"): lambda: None,
        (torch.accelerator, "current_stream"): lambda choice=None: SimpleNamespace(is_capturing=lambda: False),
        (torch, "Generator"): Generator,
        (torch, "autocast"): Autocast,
        (torch, "load"): load,
    }


def _set_flags(convolutions: bool, products: bool) -> None:
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = convolutions, products


@contextmanager
def pretend_device(count: int = 1, tf32: bool | None = False) -> Iterator[Device]:
    """Pretend that this machine has CUDA devices, and count what is asked of the one in use.

    Args:
        count: how many devices there are.
        tf32: what the flags of torch allow, as jobs set them; None: they stay, and torch allows it for convolutions.
    """
    device = Device(count)
    with ExitStack() as stack:
        stack.callback(_set_flags, torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
        if tf32 is not None:
            _set_flags(tf32, tf32)
        for (owner, name), value in _patches(device).items():
            stack.enter_context(mock.patch.object(owner, name, value))
        stack.enter_context(_Questions(device))
        stack.enter_context(_Operations(device))
        yield device


def pytest_addoption(parser: Any) -> None:
    parser.addoption("--pretend-device", action="store_true", help="run all tests under a pretended CUDA device")


def pytest_configure(config: Any) -> None:
    if config.getoption("--pretend-device", False):
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
        config._pretended = pretend_device(tf32=None)
        config._pretended.__enter__()


def pytest_unconfigure(config: Any) -> None:
    if hasattr(config, "_pretended"):
        config._pretended.__exit__(None, None, None)
