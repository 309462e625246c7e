"""The `ekslab` command. Subcommands are imported when they are called: start-up time is felt."""

import sys


def main() -> int:
    """Entry point of the `ekslab` script."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["token"] and not {"-h", "--help"} & set(arguments):
        from ekslab.cli import token

        return token.main(arguments[1:])
    from ekslab.cli import commands

    return commands.run(arguments)
