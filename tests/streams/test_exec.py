"""`kubectl exec`, with the real kubectl."""

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.conformance.kubectl import Kubectl

pytestmark = pytest.mark.usefixtures("pods")


def test_a_command_prints_what_it_says(kubectl: Kubectl) -> None:
    assert kubectl("exec web -- echo hi") == "hi\n"


def test_the_exit_code_reaches_the_caller(kubectl: Kubectl) -> None:
    told = kubectl("exec web -- sh -c 'echo so far; exit 3'", expect=3)
    assert told == "so far\ncommand terminated with exit code 3\n"


def test_standard_input_ends_where_it_ends(kubectl: Kubectl) -> None:
    assert kubectl("exec -i web -- cat", stdin="one\ntwo\n") == "one\ntwo\n"


def test_what_is_not_there_says_so_and_ends_with_127(kubectl: Kubectl) -> None:
    told = kubectl("exec web -- nginx -v", expect=127)
    assert told.startswith("sh: nginx: not found\nsimulated by ekslab: no program runs")


def test_a_container_that_is_not_there_is_refused_in_upstreams_words(kubectl: Kubectl) -> None:
    told = kubectl("exec web -c other -- true", expect=1)
    assert "container other is not valid for pod web" in told


def test_what_is_mounted_can_be_read(kubectl: Kubectl) -> None:
    script = "cat /etc/settings/color /etc/keys/key /etc/pod/labels; cat /etc/one/size"
    assert kubectl(f"exec full -- sh -c '{script}'") == 'blue\ns3cret\napp="full"large\n'
    told = kubectl("exec full -- ls -l /etc/settings")
    assert "color -> ..data/color" in told


def test_the_environment_is_that_of_the_pod(kubectl: Kubectl) -> None:
    told = dict(line.split("=", 1) for line in kubectl("exec full -- env").splitlines())
    assert told["COLOR"] == "blue"
    assert told["GREETING"] == "hello full"
    assert told["CPU"] == "2"
    assert told["HOSTNAME"] == "full"
    assert told["KUBERNETES_SERVICE_HOST"] == "10.100.0.1"
    assert told["KUBERNETES_PORT_443_TCP"] == "tcp://10.100.0.1:443"


def test_kubelets_own_files_are_there(kubectl: Kubectl) -> None:
    assert kubectl("exec web -- cat /etc/hostname") == "web\n"
    address = kubectl("get pod web -o jsonpath={.status.podIP}")
    assert f"{address}\tweb\n" in kubectl("exec web -- cat /etc/hosts")
    assert kubectl("exec web -- cat /etc/resolv.conf") == (
        "search default.svc.cluster.local svc.cluster.local cluster.local\n"
        "nameserver 10.100.0.10\noptions ndots:5\n"
    )


def test_the_token_of_the_service_account_is_one_the_server_believes(kubectl: Kubectl) -> None:
    path = "/var/run/secrets/kubernetes.io/serviceaccount"
    token = kubectl(f"exec web -- cat {path}/token")
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token},
    }
    told = kubectl("create -f - -o jsonpath={.status.user.username}", stdin=json.dumps(review))
    assert told == "system:serviceaccount:default:default"
    assert kubectl(f"exec web -- cat {path}/namespace") == "default"
    assert "BEGIN CERTIFICATE" in kubectl(f"exec web -- cat {path}/ca.crt")


@pytest.mark.parametrize(
    ("script", "told", "code"),
    [
        ("true && echo yes || echo no", "yes\n", 0),
        ("false && echo yes || echo no", "no\n", 0),
        ("echo one; echo two >&2; exit 4", "one\ntwo\ncommand terminated with exit code 4\n", 4),
        ("echo b > /tmp/x; echo a >> /tmp/x; sort < /tmp/x | head -n 1; rm /tmp/x", "a\n", 0),
        ("for i in 1 2 3; do echo -n $i; done", "123", 0),
        ("if [ -d /tmp ]; then echo there; else echo not; fi", "there\n", 0),
        ('x=$(hostname); echo "${x}-${y:-none}"', "web-none\n", 0),
        ("cd /etc && pwd && whoami", "/etc\nroot\n", 0),
        ("cat /nope", "cat: can't open '/nope': No such file or directory\n", 1),
        ("echo 'open", "sh: Syntax error: Unterminated quoted string\n", 2),
    ],
)
def test_a_script_does_as_in_a_shell(kubectl: Kubectl, script: str, told: str, code: int) -> None:
    words = ["kubectl", "exec", "web", "--", "sh", "-c", script]
    done = subprocess.run(
        words, capture_output=True, text=True, env=kubectl.environment, check=False
    )
    assert done.returncode == code
    if code in {0, 2}:
        assert done.stdout + done.stderr.partition("command terminated")[0] == told
    else:
        assert told.splitlines()[0] in (done.stdout + done.stderr)


def test_files_go_in_and_come_back(kubectl: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "sent").mkdir()
    (tmp_path / "sent" / "deep").mkdir()
    (tmp_path / "sent" / "deep" / "words").write_bytes(os.urandom(100_000))
    kubectl(f"cp {tmp_path}/sent web:/tmp/sent")
    kubectl(f"cp web:/tmp/sent/deep/words {tmp_path}/words")
    assert (tmp_path / "words").read_bytes() == (tmp_path / "sent/deep/words").read_bytes()
    kubectl(f"cp web:/tmp/sent {tmp_path}/back")
    assert (tmp_path / "back" / "deep" / "words").is_file()


def test_a_terminal_is_prompted_echoes_and_can_be_interrupted(kubectl: Kubectl) -> None:
    ours, theirs = pty.openpty()
    words = ["kubectl", "exec", "-it", "web", "--", "sh"]
    with subprocess.Popen(
        words, stdin=theirs, stdout=theirs, stderr=theirs, env=kubectl.environment
    ) as process:
        os.close(theirs)
        seen = until(ours, b"/ # ")
        os.write(ours, b"echo $((1\x15echo hi there\r")
        seen = until(ours, b"hi there\r\n/ # ")
        os.write(ours, b"sleep 1000\r")
        until(ours, b"sleep 1000\r\n")
        os.write(ours, b"\x03")
        seen = until(ours, b"/ # ")
        assert b"^C" in seen
        os.write(ours, b"exit 5\r")
        assert process.wait(timeout=10) == 5
    os.close(ours)


def until(descriptor: int, wanted: bytes) -> bytes:
    """What a terminal shows, until it has shown this."""
    seen = b""
    while wanted not in seen:
        seen += os.read(descriptor, 4096)
    return seen
