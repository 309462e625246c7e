"""The real kubectl, run as its users run it."""

import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl with one kubeconfig."""

    kubeconfig: Path

    @property
    def environment(self) -> dict[str, str]:
        """What kubectl finds in its environment."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KUBE")}
        return kept | {"KUBECONFIG": str(self.kubeconfig), "HOME": str(self.kubeconfig.parent)}

    def __call__(self, command: str, *, stdin: str | None = None, expect: int = 0) -> str:
        """Run one command line; gives what it prints, errors too where one is expected."""
        words = ["kubectl", *shlex.split(command)]
        done = subprocess.run(
            words, capture_output=True, text=True, env=self.environment, input=stdin, check=False
        )
        assert done.returncode == expect, f"{command} ended with {done}"
        return done.stdout if expect == 0 else done.stdout + done.stderr
