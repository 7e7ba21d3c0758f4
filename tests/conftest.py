import os

from hypothesis import HealthCheck, settings

# Speed is measured in benchmarks/, never asserted; and CI looks at the same examples each time.
settings.register_profile(
    "puma", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("puma")
