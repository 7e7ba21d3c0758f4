import copy
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chromium import Visit, installed_chromium, visiting
from hypothesis import HealthCheck, settings

_LONG = ("tests/workflow/", "tests/golden/", "tests/study/test_reruns", "tests/jobs/", "tests/perceptron/")
"""Where the files lie whose few tests take the longest."""


def pytest_configure(config: pytest.Config) -> None:
    """Let pytest-xdist, where it is there, take files in the order of collection, not those of many tests first."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first, so that no process is left alone with one at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(_LONG))


# Speed is measured in benchmarks/, never asserted; and CI looks at the same examples each time.
settings.register_profile(
    "puma", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("puma")

_STUDY: dict[str, Any] = {
    "study": "tiny",
    "seeds": [0, 1],
    "threat": {"norm": "linf", "epsilon": 0.2},
    "datasets": {
        "digits": {"source": "digits", "split": "seeded", "test_fraction": 0.3, "validation_fraction": 0.1},
        "fashion": {"source": "fashion_mnist"},
    },
    "generators": {
        "edm": {
            "method": "edm",
            "dataset": "digits",
            "width": 8,
            "num_blocks": 1,
            "steps": 2,
            "batch_size": 4,
            "learning_rate": 1e-3,
            "averaging": 0.9,
        }
    },
    "pools": {
        "real": {"dataset": "digits"},
        "digits+100": {"dataset": "digits", "synthetic": {"method": "generator", "generator": "edm", "count": 100}},
    },
    "defaults": {
        "pool": "digits+100",
        "architecture": "mlp",
        "training": {"method": "trades", "beta": 5.0, "attack_steps": 3, "epochs": 2},
    },
    "scores": {"margin": {"method": "deepfool", "model": "trades"}},
    "runs": {
        "trades": {},
        "pruned": {"prune": [{"by": "margin", "drop": "easiest", "fraction": 0.2}]},
        "puma": {"epsilon": {"policy": "margin", "score": "margin"}},
    },
    "attacks": {"cw": {"method": "cw_pgd", "steps": 2}},
    "reports": {
        "table": {"kind": "comparison", "baseline": "trades"},
        "trade-off": {"kind": "trade_off", "baseline": "trades", "attack": "cw"},
    },
}


@pytest.fixture
def study() -> dict[str, Any]:
    """Return a valid study that a test may edit."""
    return copy.deepcopy(_STUDY)


@pytest.fixture
def put() -> Callable[..., dict[str, Any]]:
    """Return a setter of a value deep in a mapping; the path is spelled `runs|trades|pool`."""

    def set_value(mapping: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
        *parents, last = path.split("|")
        place = mapping
        for name in parents:
            place = place.setdefault(name, {})
        place[last] = value
        return mapping

    return set_value


@pytest.fixture(scope="session")
def chromium() -> str:
    """A Chromium on this machine."""
    return installed_chromium()


@pytest.fixture
def visit(chromium: str) -> Iterator[Visit]:
    """A page without a network, for tests marked `browser`."""
    with visiting(chromium) as visited:
        yield visited
