"""`python -m zfnet key=value ...`: the command `zfnet run`, and every other command of `zfnet` by its name."""

import sys

from zfnet.cli.main import main

if __name__ == "__main__":
    sys.argv[1:] = sys.argv[1:] or ["run"]
    sys.exit(main())
