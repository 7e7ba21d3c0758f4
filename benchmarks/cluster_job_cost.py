"""CPU seconds of one job as a cluster runs it: what Snakemake needs to start it, beside the job's own process.

python benchmarks/cluster_job_cost.py STUDY FILE

FILE, of a finished study, is made again.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

REPORT = """
import atexit, sys, time
def report():
    with open({path!r}, "a") as file:
        file.write(f"{{'snakemake' if 'snakemake' in sys.orig_argv else 'job'}} {{time.process_time():.2f}}\\n")
atexit.register(report)
"""


def main() -> None:
    study, target = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seconds"
        (Path(folder) / "sitecustomize.py").write_text(REPORT.format(path=str(path)))
        paths = [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
        command = ["snakemake", "--mode", "remote", "--cores", "1", "--force", "--nolock", "--configfile", study]
        subprocess.run(
            [sys.executable, "-m", *command, "--", target],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
            check=True,
        )
        print(path.read_text())


if __name__ == "__main__":
    main()
