"""`./dev test`: installs the foreign programs the tests use, then runs the tests."""

import os
import sys

import pytest

from tests.tools import install


def main(arguments: list[str]) -> int:
    """Run the fast tier, with `--long` both tiers; other arguments go to pytest."""
    try:
        install.ensure_all()
    except install.MissingToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    os.environ["PATH"] = f"{install.BIN}{os.pathsep}{os.environ['PATH']}"
    if "--long" in arguments:
        arguments = [word for word in arguments if word != "--long"]
    else:
        arguments = ["-m", "not long", *arguments]
    return pytest.main(arguments)


sys.exit(main(sys.argv[1:]))
