"""Accelerators by their data sheets, and the time that counted work is predicted to take on them.

Source of the peaks: NVIDIA's data sheets of the H100 SXM (2023) and the H200 SXM (2024), dense. The shares of them that
are reached were read off one H200 (docs/predicted-times.md); an H100 has the same arithmetic, and was not measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pumalib.planning.meters import Amounts

Precision = Literal["float32", "tf32"]


@dataclass(frozen=True)
class Machine:
    """An accelerator.

    Attributes:
        name: as people call it.
        peak: FLOP/s of products by precision.
        bandwidth: bytes per second between its memory and its processors, at best.
        memory: bytes.
        reached: share of `peak` that convolutions reach, by precision; large matrix products reach more.
        bandwidth_reached: share of `bandwidth` that is reached.
        launch_seconds: from one operation to the next where the processor that sends them is the slower one.
        products: precision in which products of float32 are computed.
        float32: that is, float32 itself, or tf32, whose factors have 10 bits.
    """

    name: str
    peak: Mapping[str, float]
    bandwidth: float
    memory: float
    reached: Mapping[str, float]
    bandwidth_reached: float = 0.88
    launch_seconds: float = 7e-6
    products: Precision = "float32"

    def seconds(self, amounts: Amounts) -> float:
        """Return the time of counted work.

        The device does one operation after the other: products take the longer of their arithmetic and their memory,
        all else its memory. Meanwhile the processor sends the launches; the slower of both decides.
        """
        products = sum(self._arithmetic(name, count) for name, count in amounts.items() if name.startswith("flops "))
        bandwidth = self.bandwidth * self.bandwidth_reached
        moved = max(products, amounts["product bytes"] / bandwidth) + amounts["other bytes"] / bandwidth
        return max(moved, amounts["launches"] * self.launch_seconds)

    def _arithmetic(self, name: str, count: float) -> float:
        precision = name.removeprefix("flops ")
        precision = self.products if precision == "float32" else precision
        return count / (self.peak[precision] * self.reached[precision])

    def at_peak(self) -> Machine:
        """Return it with all that its data sheet promises: no time can be below that."""
        return replace(self, reached=dict.fromkeys(self.reached, 1.0), bandwidth_reached=1.0)


_HOPPER = {"float64": 67e12, "float32": 67e12, "tf32": 495e12, "bfloat16": 989e12}
_REACHED = {"float64": 0.5, "float32": 0.34, "tf32": 0.4, "bfloat16": 0.4}

MACHINES = {
    "h100": Machine("H100", _HOPPER, 3.35e12, 80e9, _REACHED),
    "h200": Machine("H200", _HOPPER, 4.8e12, 141e9, _REACHED),
}
"""By the name that the command line takes."""
