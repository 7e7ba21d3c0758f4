"""What a computation asks of a device: its operations, its floating-point work and the memory that it touches.

All of it is counted on any machine, below autograd, where each entry is one operation of ATen that reaches the device.
On a GPU an operation is at least one launch. cuDNN may take several for a convolution, so launches are a lower bound.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.flop_counter import flop_registry

_NO_LAUNCH = {
    *("empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "set_", "resize_"),
    *("detach", "detach_", "alias", "lift_fresh", "_unsafe_view", "_reshape_alias"),
    *("_local_scalar_dense", "is_same_size", "_has_same_storage_numel"),
}
"""They allocate, or only look."""
_MORE_LAUNCHES = {"nonzero": 2, "sort": 2, "argsort": 2, "topk": 1}
_TENSORS_A_FOREACH_LAUNCH = 220
"""Tensors that fit into one launch of a `_foreach` operation, about."""
_READ_NOTHING = {
    *("zeros_like", "ones_like", "full_like", "rand_like", "randn_like", "new_zeros", "new_ones", "new_full"),
    *("zero_", "fill_", "uniform_", "normal_", "random_", "bernoulli_"),
}
"""They write numbers without a look at what stands there; the tensor tells their shape."""
_READ_TWICE = {"native_batch_norm": (1, 5), "native_batch_norm_backward": (2, 7)}
"""How many tensors are read again once their statistics are known, and the argument that says that it is training."""
_MASK_LAUNCHES = 3
"""What an index of booleans costs: it is turned into row numbers."""
_FIRST_UNREAD = {"batch_norm_gather_stats_with_counts"}
"""Their first tensor only says what type the result has."""


class Operation(NamedTuple):
    """One operation as it reaches the device.

    Attributes:
        overload: of ATen, such as `aten.add.Tensor`.
        args: its arguments.
        kwargs: its arguments by name.
        tensors: all tensors among them.
        result: what came out.
        outputs: all tensors of it.
    """

    overload: OpOverload
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tensors: list[Tensor]
    result: Any
    outputs: list[Tensor]

    @property
    def name(self) -> str:
        """Return such as `add`, without name space and overload."""
        return self.overload._schema.name.split("::")[1]

    @property
    def masks(self) -> int:
        """Return how many indices are booleans."""
        if self.name not in ("index", "index_put", "index_put_", "_index_put_impl_"):
            return 0
        return sum(index is not None and index.dtype in (torch.bool, torch.uint8) for index in self.args[1])

    @property
    def bytes(self) -> int:
        """Return what is read and written, once each; statistics of a batch take a second look."""
        read = [] if self.name in _READ_NOTHING else self.tensors[self.name in _FIRST_UNREAD :]
        again, training = _READ_TWICE.get(self.name, (0, 0))
        read += self.tensors[:again] if again and self.args[training] else []
        return sum(map(_num_bytes, read + self.outputs))


def _num_bytes(tensor: Tensor) -> int:
    """Return the bytes of a tensor; rows that are one and the same in memory count once."""
    sizes = (size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)
    return math.prod(sizes) * tensor.element_size()


class Work:
    """The work of all operations so far.

    Attributes:
        launches: at least so many.
        bytes: read and written by all operations together; nothing is kept in a cache from one to the next.
        product_bytes: those of them that belong to operations whose flops are counted.
        flops: by data type, such as `torch.float32`; two a multiplication with its addition. Only those of convolutions
            and matrix products.
        by_name: launches by name of the operation.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget what was counted."""
        self.launches = self.bytes = self.product_bytes = 0
        self.flops: Counter[torch.dtype] = Counter()
        self.by_name: Counter[str] = Counter()

    @property
    def total_flops(self) -> int:
        """Return the sum over data types."""
        return sum(self.flops.values())

    def add(self, operation: Operation) -> None:
        """Count an operation; a view costs nothing."""
        launches = num_launches(operation)
        if not launches:
            return
        self.launches += launches
        self.by_name[operation.name] += launches
        self.bytes += operation.bytes
        formula = flop_registry.get(operation.overload._overloadpacket)
        if formula is not None:
            self.product_bytes += operation.bytes
            with torch._C._DisableTorchDispatch():
                flops = formula(*operation.args, **operation.kwargs, out_val=operation.result)
            self.flops[operation.tensors[0].dtype] += flops


def num_launches(operation: Operation) -> int:
    """Return how many launches an operation takes at least; 0 of a view."""
    name, returns = operation.name, operation.overload._schema.returns
    is_view = any(part.alias_info is not None and not part.alias_info.is_write for part in returns)
    if is_view or name in _NO_LAUNCH:
        return 0
    if name == "convolution_backward":
        return sum(map(bool, operation.args[-1]))  # one for each gradient that is asked for
    if name.startswith("_foreach"):
        return max(1, -(-len(operation.tensors) // _TENSORS_A_FOREACH_LAUNCH))
    return 1 + _MORE_LAUNCHES.get(name, 0) + _MASK_LAUNCHES * operation.masks


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, work: Work) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._work = work

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self._work.add(observed(func, args, kwargs or {}, result))
        return result


def observed(overload: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Operation:
    """Return an operation with the tensors that it read and wrote."""
    tensors = [part for part in tree_flatten((args, kwargs))[0] if isinstance(part, Tensor)]
    outputs = [part for part in tree_flatten(result)[0] if isinstance(part, Tensor)]
    return Operation(overload, args, kwargs, tensors, result, outputs)


@contextmanager
def counted_work() -> Iterator[Work]:
    """Count the work of what is computed inside, backward passes included."""
    work = Work()
    with _Counting(work):
        yield work
