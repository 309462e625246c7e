"""The real kubectl against the API server."""

import http.client
import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conformance.api import Api, Object
from tests.conformance.kubectl import Kubectl
from tests.conformance.objects import pod, workload

conformance = pytest.mark.conformance


def manifest(kind: str, api_version: str, body: Object) -> str:
    return json.dumps({"apiVersion": api_version, "kind": kind, **body})


@conformance("kubectl-api-versions")
def test_api_versions_has_v1(kubectl: Kubectl) -> None:
    assert "v1" in kubectl("api-versions").splitlines()


@conformance("kubectl-cluster-info")
def test_cluster_info_says_where_the_control_plane_is(kubectl: Kubectl) -> None:
    told = re.sub(r"\x1b\[[0-9;]*m", "", kubectl("cluster-info"))
    url = json.loads(kubectl.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    assert f"Kubernetes control plane is running at {url}" in told


@conformance("kubectl-version")
def test_version_tells_of_client_and_server(kubectl: Kubectl) -> None:
    told = json.loads(kubectl("version -o json"))
    for side in ("clientVersion", "serverVersion"):
        version = told[side]
        assert version["major"].isdigit()
        assert re.match(r"\d+", version["minor"])
        assert {"gitVersion", "gitCommit", "gitTreeState", "goVersion", "compiler"} <= set(version)
        assert version["platform"].startswith("linux/")


@conformance("kubectl-diff")
def test_diff_shows_both_images_and_ends_with_1(api: Api, kubectl: Kubectl, namespace: str) -> None:
    body = workload("shown", replicas=1)
    body["spec"]["template"]["spec"]["containers"][0]["image"] = "httpd"
    kubectl(f"create -n {namespace} -f -", stdin=manifest("Deployment", "apps/v1", body))
    body["spec"]["template"]["spec"]["containers"][0]["image"] = "busybox"
    text = manifest("Deployment", "apps/v1", body)
    told = kubectl(f"diff -n {namespace} -f -", stdin=text, expect=1)
    assert re.search(r"^-\s+- image: httpd$", told, re.MULTILINE)
    assert re.search(r"^\+\s+- image: busybox$", told, re.MULTILINE)
    live = api.at("apps/v1", "deployments", namespace).get("shown")
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "httpd"


@conformance("kubectl-label")
def test_label_sets_and_takes_off_a_label(api: Api, kubectl: Kubectl, namespace: str) -> None:
    api.at("v1", "pods", namespace).create(pod("shown"))
    kubectl(f"label -n {namespace} pods shown testing-label=testing-label-value")
    told = kubectl(f"get -n {namespace} pod shown -L testing-label --no-headers")
    assert "testing-label-value" in told
    assert "shown" in kubectl(f"get -n {namespace} pods -l testing-label=testing-label-value")
    kubectl(f"label -n {namespace} pods shown testing-label-")
    told = kubectl(f"get -n {namespace} pod shown -L testing-label --no-headers")
    assert "testing-label-value" not in told


@conformance("kubectl-replace")
def test_replace_gives_a_pod_another_image(api: Api, kubectl: Kubectl, namespace: str) -> None:
    kubectl(f"run -n {namespace} shown --image=nginx:1 --labels=run=shown")
    live = json.loads(kubectl(f"get -n {namespace} pod shown -o json"))
    live["spec"]["containers"][0]["image"] = "busybox:1"
    kubectl(f"replace -n {namespace} -f -", stdin=json.dumps(live))
    found = api.at("v1", "pods", namespace).get("shown")
    assert found["spec"]["containers"][0]["image"] == "busybox:1"


@conformance("kubectl-run")
def test_run_makes_one_pod_that_is_not_restarted(
    api: Api, kubectl: Kubectl, namespace: str
) -> None:
    kubectl(f"run -n {namespace} shown --restart=Never --image=httpd:2 --pod-running-timeout=2m0s")
    (found,) = api.at("v1", "pods", namespace).list()["items"]
    assert found["metadata"]["name"] == "shown"
    assert [one["image"] for one in found["spec"]["containers"]] == ["httpd:2"]
    assert found["spec"]["restartPolicy"] == "Never"


@conformance("kubectl-dry-run-server")
def test_a_dry_run_patches_nothing(api: Api, kubectl: Kubectl, namespace: str) -> None:
    kubectl(f"run -n {namespace} shown --image=httpd:2 --labels=run=shown")
    patch = json.dumps({"spec": {"containers": [{"name": "shown", "image": "busybox:1"}]}})
    told = kubectl(f"patch -n {namespace} pod shown -p '{patch}' --dry-run=server")
    assert told.startswith("pod/shown patched")
    found = api.at("v1", "pods", namespace).get("shown")
    assert found["spec"]["containers"][0]["image"] == "httpd:2"


@contextmanager
def proxied(kubectl: Kubectl, *options: str) -> Iterator[str]:
    """A running `kubectl proxy`, and the line it says where it listens with."""
    words = [shutil.which("kubectl") or "kubectl", "proxy", *options]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, env=kubectl.environment
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline()
        finally:
            process.terminate()


@conformance("kubectl-proxy-port-zero")
def test_a_proxy_picks_a_port_and_serves_the_api(kubectl: Kubectl) -> None:
    with proxied(kubectl, "--port=0", "--disable-filter") as told:
        found = re.fullmatch(r"Starting to serve on 127\.0\.0\.1:(\d+)\n", told)
        assert found
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=10)
        assert versions_over(connection)


@conformance("kubectl-proxy-unix-socket")
def test_a_proxy_serves_the_api_on_a_unix_socket(kubectl: Kubectl, tmp_path: Path) -> None:
    path = tmp_path / "kubectl.sock"
    with proxied(kubectl, f"--unix-socket={path}") as told:
        assert told == f"Starting to serve on {path}\n"
        connection = http.client.HTTPConnection("localhost", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(path))
        assert versions_over(connection)


def versions_over(connection: http.client.HTTPConnection) -> list[str]:
    """What `/api` says through a proxy."""
    try:
        connection.request("GET", "/api", headers={"Host": "localhost"})
        found: list[str] = json.loads(connection.getresponse().read())["versions"]
        return found
    finally:
        connection.close()
