"""How other training codes name the tensors of our networks.

A layout translates our names to theirs, never the reverse, so that what a file lacks or holds besides can be
said in the file's own words. An architecture keeps the layouts of its ports, as ``LAYOUTS``, in its own module.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pumalib.models.settings import ArchitectureSettings, StridedPadding, architecture_module, architecture_origin

_NAME = re.compile(
    r"(?:stages\.(?P<stage>\d+)\.(?P<block>\d+)\.)?"
    r"(?P<part>.+)\.(?P<tensor>weight|bias|running_mean|running_var|num_batches_tracked)"
)

WRAPPERS = ("module", "model", "_orig_mod", "0", "1")
"""What DataParallel, normalising wrappers, torch.compile and short sequences put before every name."""

CONSTANTS = {"mean": "mean", "mu": "mean", "std": "std", "sigma": "std"}
"""Last parts of the names under which networks keep the constants of their normalisation."""


@dataclass(frozen=True)
class Layout:
    """One way of naming tensors.

    Attributes:
        block: Their name of a residual block, from {stage} (from 0), {number} (the stage from 1) and {block} (from 0).
        parts: Our name of a part to theirs; parts that are not in it are named alike.
        strided_padding: Where networks of this layout pad, if the layout tells.
        is_normalised: Whether its networks normalise images inside, so that mean and std must be known.
        unused: Beginnings of names that the forward pass of its networks never reads.
    """

    block: str = "stages.{stage}.{block}"
    parts: Mapping[str, str] = field(default_factory=dict)
    strided_padding: StridedPadding | None = None
    is_normalised: bool = False
    unused: tuple[str, ...] = ()

    def theirs(self, name: str) -> str:
        """Translate one of our names."""
        match = _NAME.fullmatch(name)
        if match is None:
            return name
        part = f"{self.parts.get(match['part'], match['part'])}.{match['tensor']}"
        if match["stage"] is None:
            return part
        stage = int(match["stage"])
        return f"{self.block.format(stage=stage, number=stage + 1, block=match['block'])}.{part}"


OWN = Layout()
"""The names of this library, and of models that it does not define."""


def layouts_of(architecture: ArchitectureSettings) -> tuple[Layout, ...]:
    """Return the layouts an architecture is known under, our own first."""
    if architecture_origin(architecture.name) != "built-in":
        return (OWN,)
    family = importlib.import_module(architecture_module(architecture.name))
    return (OWN, *getattr(family, "LAYOUTS", ()))


def closest_layout(layouts: Sequence[Layout], ours: Collection[str], found: Collection[str]) -> Layout:
    """Return the layout that leaves the fewest names over, on either side."""
    return min(layouts, key=lambda layout: len({layout.theirs(name) for name in ours}.symmetric_difference(found)))


def unwrapped(found: Iterable[str], layouts: Sequence[Layout], ours: Collection[str]) -> dict[str, str]:
    """Take wrappers off the names in a file until some layout finds all its own.

    A model of one's own may begin its names with a wrapper's; so nothing is taken off that already fits.

    Args:
        found: Names in the file.
        layouts: The layouts to look for.
        ours: Our names of what the model needs, without counters.

    Returns:
        Each name without its wrappers, to the name in the file.
    """
    names = {name: name for name in found}
    while not any({layout.theirs(name) for name in ours} <= names.keys() for layout in layouts):
        heads = {name.partition(".")[0] for name in names if not is_constant(name)}
        wrapper = heads.pop() if len(heads) == 1 else ""
        if wrapper not in WRAPPERS:
            break
        names = {name.removeprefix(f"{wrapper}."): whole for name, whole in names.items()}
    return names


def is_constant(name: str) -> bool:
    """Say whether a name is that of a normalisation's constant."""
    return name.rpartition(".")[2] in CONSTANTS


def is_counter(name: str) -> bool:
    """Say whether a name is that of a count of batches, which evaluation does not read and old files lack."""
    return name.endswith("num_batches_tracked")
