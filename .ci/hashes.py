"""Print the packages of a report of `pip install --report` with their versions and hashes, without addresses."""

import json
import sys
from pathlib import Path

report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
lines = []
for one in report["install"]:
    if archive := one["download_info"].get("archive_info"):
        name, version = one["metadata"]["name"], one["metadata"]["version"]
        lines.append(f"{name}=={version} --hash=sha256:{archive['hashes']['sha256']}")
print("# Versions and hashes for Linux on x86-64 and CPython 3.11. Renew: make lock-hashes")
print("\n".join(sorted(lines, key=str.lower)))
