"""A lab as its users have it: the command, its processes, real kubectl and aws."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_EXPORT = re.compile(r"export (\w+)=(.*)")


class CommandError(AssertionError):
    """A command ended otherwise than expected."""


class Lab:
    """One lab in a directory of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "KUBE", "EKSLAB_"))
        }
        self.environment |= {"EKSLAB_HOME": str(home), "AWS_PAGER": "", "NO_COLOR": "1"}

    def ekslab(self, *arguments: str, expect: int = 0) -> str:
        """Run `ekslab ...`; gives standard output, or both outputs of a failure."""
        return self.run(sys.executable, "-m", "ekslab", *arguments, expect=expect)

    def up(self, *arguments: str) -> None:
        """Start the lab and take its environment."""
        self.ekslab("up", *arguments)
        for name, value in _EXPORT.findall(self.ekslab("env")):
            self.environment[name] = shlex.split(value)[0]

    def down(self) -> None:
        """Stop the lab."""
        self.ekslab("down")

    def kubectl(self, command: str, *, expect: int = 0, stdin: str | None = None) -> str:
        """Run one kubectl command line."""
        return self.run("kubectl", *shlex.split(command), expect=expect, stdin=stdin)

    def aws(self, command: str, *, expect: int = 0) -> Any:
        """Run one aws command line; JSON answers are decoded."""
        shown = self.run(
            str(Path(sys.executable).with_name("aws")), *shlex.split(command), expect=expect
        )
        try:
            return json.loads(shown)
        except ValueError:
            return shown

    def aws_refuses(self, command: str) -> str:
        """Run one aws command line that AWS refuses; gives what it says."""
        # aws 1 ends with 255 then, aws 2 with 254.
        aws = str(Path(sys.executable).with_name("aws"))
        done = subprocess.run(
            [aws, *shlex.split(command)],
            capture_output=True,
            text=True,
            env=self.environment,
            check=False,
        )
        if done.returncode not in {254, 255}:
            raise CommandError(f"aws {command} ended with {done.returncode}:\n{done.stdout}")
        return done.stderr

    def run(self, *words: str, expect: int = 0, stdin: str | None = None) -> str:
        """Run a command in the lab's environment."""
        done = subprocess.run(
            words, capture_output=True, text=True, env=self.environment, input=stdin, check=False
        )
        if done.returncode != expect:
            raise CommandError(
                f"{shlex.join(words)} ended with {done.returncode}, not {expect}:\n"
                f"{done.stdout}{done.stderr}"
            )
        return done.stdout if expect == 0 else done.stdout + done.stderr

    def status(self) -> dict[str, Any]:
        """`ekslab status` as JSON."""
        shown: dict[str, Any] = json.loads(self.ekslab("status", "-o", "json"))
        return shown

    def eventually(self, look: Callable[[], object], *, seconds: float = 60) -> None:
        """Look again and again until the look is true; a last time where it may raise."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if look():
                    return
            except CommandError:
                pass
        assert look(), "still not so"
