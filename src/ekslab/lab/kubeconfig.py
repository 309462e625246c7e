"""The kubeconfig of the lab's first cluster: logs in by `ekslab token`, as EKS users do by aws."""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import yaml


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


def with_server(text: str, *, name: str, account: str, region: str, url: str) -> str | None:
    """The file with the endpoint of one cluster brought up to date; None if it is, or has none.

    Whatever else stands in the file is the user's and is kept.
    """
    config = yaml.load(text, Loader=yaml.CSafeLoader)
    if not isinstance(config, dict):
        return None
    arn = f"arn:aws:eks:{region}:{account}:cluster/{name}"
    changed = False
    for entry in config.get("clusters") or ():
        if entry.get("name") == arn and entry["cluster"].get("server") != url:
            entry["cluster"]["server"] = url
            changed = True
    return json.dumps(config, indent=2) + "\n" if changed else None
