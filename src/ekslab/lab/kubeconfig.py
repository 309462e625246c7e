"""The kubeconfig of the lab's first cluster: logs in by `ekslab token`, as EKS users do by aws."""

import base64
import json
import sys
from pathlib import Path
from typing import Any


def render(
    *, name: str, account: str, region: str, url: str, authority_pem: str, home: Path
) -> str:
    """The file's text. JSON is YAML, and kubectl rewrites it in its own style when it has to."""
    arn = f"arn:aws:eks:{region}:{account}:cluster/{name}"
    authority = base64.b64encode(authority_pem.encode()).decode()
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "current-context": arn,
        "clusters": [
            {"name": arn, "cluster": {"server": url, "certificate-authority-data": authority}}
        ],
        "contexts": [{"name": arn, "context": {"cluster": arn, "user": arn}}],
        "users": [
            {
                "name": arn,
                "user": {
                    "exec": {
                        "apiVersion": "client.authentication.k8s.io/v1beta1",
                        "command": sys.executable,
                        "args": [
                            "-m",
                            "ekslab",
                            "token",
                            "--cluster-name",
                            name,
                            "--region",
                            region,
                        ],
                        "env": [{"name": "EKSLAB_HOME", "value": str(home)}],
                        "interactiveMode": "Never",
                    }
                },
            }
        ],
    }
    return json.dumps(config, indent=2) + "\n"
