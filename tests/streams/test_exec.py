"""`kubectl exec`, with the real kubectl."""

from tests.conformance.kubectl import Kubectl
from tests.streams.pods import Pods


def test_a_command_prints_what_it_says(kubectl: Kubectl, pods: Pods) -> None:
    assert kubectl("exec web -- echo hi") == "hi\n"


def test_the_exit_code_reaches_the_caller(kubectl: Kubectl, pods: Pods) -> None:
    told = kubectl("exec web -- sh -c 'echo so far; exit 3'", expect=3)
    assert told == "so far\ncommand terminated with exit code 3\n"


def test_standard_input_ends_where_it_ends(kubectl: Kubectl, pods: Pods) -> None:
    assert kubectl("exec -i web -- cat", stdin="one\ntwo\n") == "one\ntwo\n"


def test_what_is_not_there_says_so_and_ends_with_127(kubectl: Kubectl, pods: Pods) -> None:
    told = kubectl("exec web -- nginx -v", expect=127)
    assert told.startswith("sh: nginx: not found\nsimulated by ekslab: no program runs")


def test_a_container_that_is_not_there_is_refused_in_upstreams_words(
    kubectl: Kubectl, pods: Pods
) -> None:
    told = kubectl("exec web -c other -- true", expect=1)
    assert "container other is not valid for pod web" in told
