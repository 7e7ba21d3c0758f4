"""Command line: `python -m pumalib`, or `puma` where the package is installed."""

import os
import sys

if sys.path[0] in ("", os.getcwd()):  # `-m` puts the current folder first, where a file could take a library's place
    sys.path.pop(0)

from pumalib.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
