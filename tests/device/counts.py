"""Print what the units of work ask of a device, as docs/performance.md has it: `python -m tests.device.counts`."""

from __future__ import annotations

from collections.abc import Callable

from tests.device.units import IMAGES_A_UNIT, cw_batch, deepfool_batch, edm_step, trades_step
from tests.pretend_device import Device

UNITS: dict[str, Callable[[], Device]] = {
    "TRADES step": trades_step,
    "TRADES step, attack in bfloat16, channels last": lambda: trades_step(
        attack_precision="bfloat16", channels_last=True
    ),
    "TRADES step, attack by running statistics": lambda: trades_step(attack_statistics="running"),
    "DeepFool, all right, 2 iterations": lambda: deepfool_batch(0),
    "DeepFool, all wrong, 2 iterations": lambda: deepfool_batch(1),
    "C&W-PGD-40, all withstand": cw_batch,
    "EDM step, MLP": lambda: edm_step("mlp"),
    "EDM step, U-Net": lambda: edm_step("unet"),
}


def main() -> None:
    print("| unit | launches | waits | bytes to the device an image | GFLOP an image |")
    print("|:--|--:|--:|--:|--:|")
    for name, count in UNITS.items():
        device = count()
        columns = [
            f"{device.work.launches:,}",
            f"{device.num_syncs}",
            f"{device.bytes_copied('h2d') / IMAGES_A_UNIT:,.0f}",
            f"{device.work.total_flops / IMAGES_A_UNIT / 1e9:.1f}",
        ]
        print(f"| {name} | {' | '.join(columns)} |", flush=True)


if __name__ == "__main__":
    main()
