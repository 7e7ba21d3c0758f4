"""Run `pumalib check study.yaml` in each folder named, with the library that lies there, and store what it says.

The processes are forked from one that has imported the libraries under ours, because most of a check is imports.
"""

import os
import sys
import traceback
from pathlib import Path

import h5py  # noqa: F401
import numpy  # noqa: F401
import pydantic
import yaml  # noqa: F401

pydantic.create_model("Model", field=(int, 0))


def check(folder: Path) -> int:
    sys.path.insert(0, str(folder))
    os.chdir(folder)
    output = os.open("output.txt", os.O_WRONLY | os.O_CREAT)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(output, stream.fileno())
    from pumalib.cli.main import main

    return main(["check", "study.yaml"])


def check_in_a_child(folder: Path) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        code = check(folder)
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    children = {check_in_a_child(Path(folder)): Path(folder) for folder in sys.argv[1:]}
    for _ in range(len(children)):
        process, status = os.wait()
        (children[process] / "code.txt").write_text(str(os.waitstatus_to_exitcode(status)))
