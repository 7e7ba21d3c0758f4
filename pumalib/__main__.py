"""Command line: `python -m pumalib`, or `puma` where the package is installed."""

import sys

from pumalib.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
