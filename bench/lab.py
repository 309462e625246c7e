"""A lab of its own for the load: started in a fresh directory, gone afterwards."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.target import Target

_EXPORT = re.compile(r"export (\w+)=(.*)")


@dataclass
class BenchLab:
    """One lab, and what the load needs to reach it."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls) -> "BenchLab":
        """A directory for a lab that was not started yet."""
        lab = cls(Path(tempfile.mkdtemp(prefix="ekslab-bench-")))
        lab.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "KUBE", "EKSLAB_"))
        } | {"EKSLAB_HOME": str(lab.home)}
        return lab

    @classmethod
    def start(cls, *options: str) -> "BenchLab":
        """Start a fresh lab."""
        lab = cls.make()
        lab.ekslab("up", *options)
        lab.point_environment()
        return lab

    def point_environment(self) -> None:
        """Let aws, kubectl and the login plugin that are run from here find the lab."""
        for name, value in _EXPORT.findall(self.ekslab("env")):
            self.environment[name] = shlex.split(value)[0]

    def ekslab(self, *arguments: str) -> str:
        """Run `ekslab ...`."""
        return self.run(sys.executable, "-m", "ekslab", *arguments)

    def run(self, *words: str) -> str:
        """Run a command in the lab's environment."""
        done = subprocess.run(
            words, capture_output=True, text=True, env=self.environment, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{shlex.join(words)}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def down(self) -> None:
        """Stop it; what it holds stays."""
        self.ekslab("down")

    def stop(self) -> None:
        """Stop it and delete it."""
        self.down()
        shutil.rmtree(self.home, ignore_errors=True)

    def status(self) -> dict[str, Any]:
        """`ekslab status`."""
        shown: dict[str, Any] = json.loads(self.ekslab("status", "-o", "json"))
        return shown

    def pid(self, process: str) -> int:
        """Process id of `cloud` or `clusters`."""
        pid: int = self.status()[process]["pid"]
        return pid

    def target(self) -> Target:
        """Its first cluster."""
        return Target(
            self.home / "kubeconfig", pids=[self.pid("clusters")], environment=self.environment
        )
