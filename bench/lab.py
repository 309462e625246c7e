"""The lab under load: started in a directory of its own, with an administrator's certificate."""

import base64
import json
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_EXPORT = re.compile(r"export (\w+)=(.*)")


@dataclass
class BenchLab:
    """One lab, and what the load needs to reach it."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def start(cls, *options: str) -> "BenchLab":
        """Start a fresh lab."""
        lab = cls(Path(tempfile.mkdtemp(prefix="ekslab-bench-")))
        lab.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "KUBE", "EKSLAB_"))
        } | {"EKSLAB_HOME": str(lab.home)}
        lab.ekslab("up", *options)
        for name, value in _EXPORT.findall(lab.ekslab("env")):
            lab.environment[name] = shlex.split(value)[0]
        return lab

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

    def stop(self) -> None:
        """Stop it and delete it."""
        self.ekslab("down")
        shutil.rmtree(self.home, ignore_errors=True)

    def status(self) -> dict[str, Any]:
        """`ekslab status`."""
        shown: dict[str, Any] = json.loads(self.ekslab("status", "-o", "json"))
        return shown

    def pid(self, process: str) -> int:
        """Process id of `cloud` or `clusters`."""
        pid: int = self.status()[process]["pid"]
        return pid

    @property
    def url(self) -> str:
        """The cluster's endpoint."""
        config = json.loads((self.home / "kubeconfig").read_text())
        server: str = config["clusters"][0]["cluster"]["server"]
        return server

    def token(self) -> str:
        """A bearer token of the administrator, by IAM."""
        credential = json.loads(self.ekslab("token", "--cluster-name", "lab"))
        token: str = credential["status"]["token"]
        return token

    def context(self) -> ssl.SSLContext:
        """TLS that trusts the cluster."""
        config = json.loads((self.home / "kubeconfig").read_text())
        pem = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"])
        return ssl.create_default_context(cadata=pem.decode())

    def request(self, method: str, path: str, body: Any = None, *, accept: str = "") -> bytes:
        """One request to the cluster."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={
                "Authorization": f"Bearer {self.token()}",
                "Content-Type": "application/json",
                "Accept": accept or "application/json",
            },
        )
        with urllib.request.urlopen(request, context=self.context()) as answer:
            raw: bytes = answer.read()
            return raw
