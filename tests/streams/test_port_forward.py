"""`kubectl port-forward`, with the real kubectl: SPDY in a WebSocket, and without one."""

import http.client
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conformance.kubectl import Kubectl

pytestmark = pytest.mark.usefixtures("pods")


@contextmanager
def forwarded(kubectl: Kubectl, target: str, **environment: str) -> Iterator[int]:
    """A running `kubectl port-forward`, and the port it listens on."""
    words = [shutil.which("kubectl") or "kubectl", "port-forward", target, ":80"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, env=kubectl.environment | environment
    ) as process:
        assert process.stdout is not None
        try:
            found = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
            assert found
            yield int(found[1])
        finally:
            process.terminate()


@pytest.mark.parametrize("websockets", ["true", "false"])
def test_a_forwarded_port_answers_who_it_is(kubectl: Kubectl, websockets: str) -> None:
    with forwarded(kubectl, "pod/web", KUBECTL_PORT_FORWARD_WEBSOCKETS=websockets) as port:
        for path in ("/first", "/second"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode()
            connection.close()
            assert answer.status == 200
            assert text.startswith("simulated by ekslab: pod default/web on node sim-")
            assert text.endswith(f"port 80, was asked GET {path}\n")


def test_a_command_runs_over_spdy_too(kubectl: Kubectl) -> None:
    words = ["kubectl", "exec", "-i", "web", "--", "sh", "-c", "cat; echo bad >&2; exit 7"]
    environment = kubectl.environment | {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"}
    done = subprocess.run(
        words, capture_output=True, text=True, env=environment, input="in\n", check=False
    )
    assert (done.returncode, done.stdout) == (7, "in\n")
    assert done.stderr == "bad\ncommand terminated with exit code 7\n"
