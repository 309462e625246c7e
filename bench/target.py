"""Any cluster the load can be aimed at, as its kubeconfig describes it."""

import base64
import json
import os
import ssl
import subprocess
import tempfile
import urllib.request
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

NAMESPACE = "ekslab-bench"
_USER = "bench"


@dataclass
class Target:
    """A cluster: its endpoint, an administrator's login, and a user of the load itself.

    `pids` are the server's processes, where they run on this machine and are known: their CPU is
    measured. `environment` is what kubectl and the login plugin are run with.
    """

    kubeconfig: Path
    pids: list[int] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    @cached_property
    def _config(self) -> dict[str, Any]:
        config = yaml.safe_load(self.kubeconfig.read_text())
        name = config["current-context"]
        context = next(one["context"] for one in config["contexts"] if one["name"] == name)
        return {
            "cluster": _named(config["clusters"], context["cluster"])["cluster"],
            "user": _named(config["users"], context["user"])["user"],
        }

    @property
    def url(self) -> str:
        """The endpoint."""
        server: str = self._config["cluster"]["server"]
        return server.rstrip("/")

    @cached_property
    def context(self) -> ssl.SSLContext:
        """TLS that trusts the cluster and shows the administrator's certificate, if that is it."""
        cluster, user = self._config["cluster"], self._config["user"]
        context = ssl.create_default_context()
        if authority := _content(cluster, "certificate-authority"):
            context.load_verify_locations(cadata=authority.decode())
        certificate, key = _content(user, "client-certificate"), _content(user, "client-key")
        if certificate and key:
            with tempfile.NamedTemporaryFile() as file:
                file.write(certificate + b"\n" + key)
                file.flush()
                context.load_cert_chain(file.name)
        return context

    @cached_property
    def admin_token(self) -> str:
        """The administrator's bearer token; "" if a certificate is the login."""
        user = self._config["user"]
        if "exec" not in user:
            token: str = user.get("token", "")
            return token
        plugin = user["exec"]
        extra = {one["name"]: one["value"] for one in plugin.get("env") or ()}
        shown = subprocess.run(
            [plugin["command"], *(plugin.get("args") or ())],
            env=self.environment | extra,
            capture_output=True,
            check=True,
        ).stdout
        issued: str = json.loads(shown)["status"]["token"]
        return issued

    def request(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None
    ) -> bytes:
        """One request as the administrator.

        Raises:
            urllib.error.HTTPError: the answer is not success.
        """
        given = {"Content-Type": "application/json", **(headers or {})}
        if self.admin_token:
            given["Authorization"] = f"Bearer {self.admin_token}"
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, method=method, data=data, headers=given)
        with urllib.request.urlopen(request, context=self.context, timeout=60) as answer:
            raw: bytes = answer.read()
            return raw

    def get(self, path: str) -> Any:
        """One object or list."""
        return json.loads(self.request("GET", path))

    def post(self, path: str, body: Any) -> Any:
        """Create; an object that is there already is left."""
        try:
            return json.loads(self.request("POST", path, body))
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise RuntimeError(f"POST {path}: {error.code} {error.read()!r}") from error
            return None

    @cached_property
    def user_token(self) -> str:
        """The token of a service account that may do what the load does, and no more.

        It is RBAC that lets it: a ClusterRole bound to it, as for any user of a real cluster.
        """
        core, rbac = "/api/v1", "/apis/rbac.authorization.k8s.io/v1"
        self.post(f"{core}/namespaces", {"metadata": {"name": NAMESPACE}})
        accounts = f"{core}/namespaces/{NAMESPACE}/serviceaccounts"
        self.post(accounts, {"metadata": {"name": _USER}})
        rule = {
            "apiGroups": [""],
            "resources": ["pods", "configmaps"],
            "verbs": ["create", "get", "list", "watch", "update", "patch", "delete"],
        }
        self.post(f"{rbac}/clusterroles", {"metadata": {"name": NAMESPACE}, "rules": [rule]})
        self.post(
            f"{rbac}/clusterrolebindings",
            {
                "metadata": {"name": NAMESPACE},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole",
                    "name": NAMESPACE,
                },
                "subjects": [
                    {"kind": "ServiceAccount", "name": _USER, "namespace": NAMESPACE},
                ],
            },
        )
        answer = self.post(f"{accounts}/{_USER}/token", {"spec": {"expirationSeconds": 7200}})
        token: str = answer["status"]["token"]
        return token

    def kubectl(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """Run kubectl against it."""
        return subprocess.run(
            ["kubectl", "--kubeconfig", str(self.kubeconfig), *words],
            env=self.environment,
            capture_output=True,
            check=True,
        )


def pod(**metadata: Any) -> dict[str, Any]:
    """A pod as people write them; no scheduler takes it: only its write is measured."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/name": "web", "app.kubernetes.io/part-of": "shop"},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
            **metadata,
        },
        "spec": {
            "schedulerName": "nobody",
            "containers": [
                {
                    "name": "web",
                    "image": "registry.example.com/shop/web:1.27.3",
                    "ports": [{"name": "http", "containerPort": 8080}],
                    "env": [
                        {"name": "LOG_LEVEL", "value": "info"},
                        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                    ],
                    "resources": {
                        "requests": {"cpu": "100m", "memory": "128Mi"},
                        "limits": {"memory": "256Mi"},
                    },
                    "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
                }
            ],
        },
    }


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(one for one in entries if one["name"] == name)


def _content(entry: dict[str, Any], name: str) -> bytes:
    """What a kubeconfig holds inline, or names a file for."""
    if inline := entry.get(f"{name}-data"):
        return base64.b64decode(inline)
    return Path(entry[name]).read_bytes() if entry.get(name) else b""
