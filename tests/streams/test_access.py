"""Who may, and how other clients ask."""

import gc
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client, config
from kubernetes.stream import stream

from tests.conformance.api import Api
from tests.conformance.cluster import ServedCluster
from tests.conformance.kubectl import Kubectl

pytestmark = pytest.mark.usefixtures("pods")
ROLES = "rbac.authorization.k8s.io/v1"


@pytest.fixture
def core(kubectl: Kubectl) -> Iterator[client.CoreV1Api]:
    """The Kubernetes Python client."""
    with config.new_client_from_config(str(kubectl.kubeconfig)) as made:
        yield client.CoreV1Api(made)
    with warnings.catch_warnings():
        # It leaves its WebSockets to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_the_python_client_runs_commands(core: client.CoreV1Api) -> None:
    done = stream(
        core.connect_get_namespaced_pod_exec,
        "web",
        "default",
        command=["sh", "-c", "echo out; echo err >&2"],
        stdout=True,
        stderr=True,
        stdin=False,
        tty=False,
    )
    assert sorted(done.splitlines()) == ["err", "out"]


def test_the_python_client_talks_to_a_shell(core: client.CoreV1Api) -> None:
    shell = stream(
        core.connect_get_namespaced_pod_exec,
        "web",
        "default",
        command=["/bin/sh"],
        stdout=True,
        stderr=True,
        stdin=True,
        tty=False,
        _preload_content=False,
    )
    shell.write_stdin("echo one\n")
    assert shell.readline_stdout(timeout=10) == "one"
    shell.write_stdin("exit 3\n")
    shell.run_forever(timeout=10)
    assert shell.returncode == 3
    shell.close()


_FORWARDS = """
import sys
from kubernetes import client, config
from kubernetes.stream import portforward

config.load_kube_config(sys.argv[1])
core = client.CoreV1Api()
forward = portforward(core.connect_get_namespaced_pod_portforward, "web", "default", ports="8080")
socket = forward.socket(8080)
socket.setblocking(True)
socket.settimeout(10)
socket.sendall(b"GET / HTTP/1.1\\r\\nHost: web\\r\\nConnection: close\\r\\n\\r\\n")
received = b""
while b"asked GET /" not in received:
    received += socket.recv(4096)
print(received.decode().splitlines()[0])
"""


def test_the_python_client_forwards_ports(kubectl: Kubectl) -> None:
    """In a process of its own: that client leaves its WebSocket to the garbage collector."""
    words = [sys.executable, "-c", _FORWARDS, str(kubectl.kubeconfig)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)
    assert done.stdout == "HTTP/1.1 200 OK\n", done.stderr


def test_who_may_only_get_pods_exec_runs_nothing(
    served: ServedCluster, api: Api, home: Path, tmp_path: Path
) -> None:
    rules = [
        {"apiGroups": [""], "resources": ["pods", "pods/exec"], "verbs": ["get"]},
    ]
    roles = api.at(ROLES, "clusterroles")
    roles.create({"metadata": {"name": "looker"}, "rules": rules})
    group = {"apiGroup": "rbac.authorization.k8s.io"}
    bound = {
        "metadata": {"name": "looker"},
        "roleRef": {**group, "kind": "ClusterRole", "name": "looker"},
        "subjects": [{**group, "kind": "User", "name": "looker"}],
    }
    api.at(ROLES, "clusterrolebindings").create(bound)
    looker = Kubectl(served.kubeconfig(tmp_path, *served.credentials(home, "looker")))
    told = looker("exec web -- true", expect=1)
    assert 'pods "web" is forbidden: User "looker" cannot create resource "pods/exec"' in told
    roles.patch("looker", {"rules": [{**rules[0], "verbs": ["get", "create"]}]})
    assert looker("exec web -- echo may") == "may\n"


def test_attach_shows_the_log(kubectl: Kubectl) -> None:
    """It is followed until the container ends: here the pod goes."""
    kubectl(
        "run short --image=busybox --restart=Never --annotations=simulated.ekslab.dev/duration=3s"
    )
    kubectl("wait pod short --for=condition=Ready --timeout=10s")
    assert "container short of image busybox started" in kubectl("attach short")


def test_a_command_without_an_upgrade_is_refused(api: Api) -> None:
    path = "/api/v1/namespaces/default/pods/web/exec?command=true&stdout=true"
    for method in ("GET", "POST"):
        reply = api.ask(method, path)
        assert (reply.code, reply.body["message"]) == (400, "Upgrade request required")
    reply = api.ask("POST", path.partition("&")[0])
    assert reply.body["message"] == "you must specify at least 1 of stdin, stdout, stderr"
