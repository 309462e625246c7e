"""`python -m ekslab.lab NAME HOME`: one process of the lab, as the supervisor starts it.

Most of a start is importing, which makes hundreds of thousands of objects that all stay: nothing is
collected until the process serves (`ekslab.lab.process.is_up`).
"""

import gc
import sys
from importlib import import_module


def main() -> int:
    """Import the process's module and run it."""
    gc.disable()
    code: int = import_module(f"ekslab.lab.{sys.argv[1]}_process").main(sys.argv[2])
    return code


sys.exit(main())
