import pytest

from ekslab.kube.api.requests import Object
from ekslab.kube.apiserver.admission.pod_security import PodSecurity
from ekslab.kube.apiserver.admission.pod_security_standards import violations
from tests.admission.requests import asked, run
from tests.fakes.lister import FakeLister, namespace, pod

PREFIX = "pod-security.kubernetes.io/"
SAFE = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def labelled(**labels: str) -> Object:
    obj = namespace("default")
    obj["metadata"]["labels"] = {PREFIX + key.replace("_", "-"): v for key, v in labels.items()}
    return obj


def with_context(**context: object) -> Object:
    return pod(containers=[{"name": "main", "image": "nginx", "securityContext": context}])


def baseline_of(spec: Object) -> str:
    return violations("baseline", {}, {"containers": [{"name": "main"}], **spec})


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        pytest.param({}, "", id="plain"),
        pytest.param(
            {"hostNetwork": True, "hostPID": True},
            "host namespaces (hostNetwork=true, hostPID=true)",
            id="host namespaces",
        ),
        pytest.param(
            {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]},
            'hostPath volumes (volume "v")',
            id="host path",
        ),
        pytest.param(
            {"containers": [{"name": "a", "ports": [{"hostPort": 80}, {"hostPort": 443}]}]},
            'hostPort (container "a" uses hostPorts 443, 80)',
            id="host ports",
        ),
        pytest.param(
            {"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "h"}}}]},
            'probe or lifecycle host (container "a" uses probe or lifecycle host "h")',
            id="probe of another host",
        ),
        pytest.param(
            {"containers": [{"name": n, "securityContext": {"privileged": True}} for n in "ab"]},
            'privileged (containers "a", "b" must not set securityContext.privileged=true)',
            id="privileged",
        ),
        pytest.param(
            {
                "containers": [
                    {
                        "name": "a",
                        "securityContext": {"capabilities": {"add": ["KILL", "SYS_ADMIN"]}},
                    }
                ]
            },
            'non-default capabilities (container "a" must not include "SYS_ADMIN" in'
            " securityContext.capabilities.add)",
            id="capabilities",
        ),
        pytest.param(
            {"securityContext": {"seLinuxOptions": {"type": "spc_t", "user": "u"}}},
            'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "spc_t"; user'
            " may not be set)",
            id="SELinux",
        ),
        pytest.param(
            {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
            'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
            id="seccomp",
        ),
        pytest.param(
            {"securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}},
            "forbidden sysctls (kernel.msgmax)",
            id="sysctls",
        ),
        pytest.param(
            {"containers": [{"name": "a", "securityContext": {"procMount": "Unmasked"}}]},
            'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
            id="proc mount",
        ),
    ],
)
def test_baseline_forbids(spec: Object, problem: str):
    assert baseline_of(spec) == problem


ALL_OF_RESTRICTED = (
    'allowPrivilegeEscalation != false (container "main" must set'
    " securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container"
    ' "main" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or'
    ' container "main" must set securityContext.runAsNonRoot=true), seccompProfile (pod or'
    ' container "main" must set securityContext.seccompProfile.type to "RuntimeDefault" or'
    ' "Localhost")'
)


async def test_a_plain_pod_is_not_restricted_in_the_words_everybody_knows():
    plugin = PodSecurity(FakeLister(labelled(enforce="restricted")))
    assert await run(plugin, asked("create", "pods", pod())) == (
        403,
        f'pods "web" is forbidden: violates PodSecurity "restricted:latest": {ALL_OF_RESTRICTED}',
    )


async def test_a_safe_pod_is_admitted():
    plugin = PodSecurity(FakeLister(labelled(enforce="restricted")))
    sent = with_context(**SAFE)
    assert await run(plugin, asked("create", "pods", sent)) == sent


@pytest.mark.parametrize(
    ("context", "problem"),
    [
        ({"runAsUser": 0}, 'runAsUser=0 (container "main" must not set runAsUser=0)'),
        (
            {"runAsNonRoot": False},
            (
                'runAsNonRoot != true (container "main" must not set securityContext.runAsNonRoot='
                "false)"
            ),
        ),
    ],
)
def test_restricted_forbids_root(context: Object, problem: str):
    sent = with_context(**{**SAFE, **context})
    assert violations("restricted", {}, sent["spec"]) == problem


async def test_without_labels_everything_goes():
    plugin = PodSecurity(FakeLister(namespace("default")))
    request = asked("create", "pods", with_context(privileged=True))
    assert await run(plugin, request) == request.obj
    assert request.request.warnings == []


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        pytest.param({"warn": "restricted"}, "restricted:latest", id="warn alone"),
        pytest.param(
            {"enforce": "restricted", "enforce_version": "v1.30"},
            "restricted:v1.30",
            id="as enforced",
        ),
    ],
)
async def test_a_deployment_is_warned_of_what_its_pods_will_meet(
    labels: dict[str, str], shown: str
):
    plugin = PodSecurity(FakeLister(labelled(**labels)))
    sent = {**pod("d"), "kind": "Deployment"}
    sent["spec"] = {"template": {"metadata": {}, "spec": pod()["spec"]}}
    request = asked("create", "deployments", sent)
    assert await run(plugin, request) == sent
    assert request.request.warnings == [f'would violate PodSecurity "{shown}": {ALL_OF_RESTRICTED}']


async def test_an_update_that_brings_no_image_is_not_judged():
    plugin = PodSecurity(FakeLister(labelled(enforce="restricted")))
    assert await run(plugin, asked("update", "pods", pod(), old=pod())) == pod()
    other = pod(containers=[{"name": "main", "image": "other"}])
    assert (await run(plugin, asked("update", "pods", other, old=pod())))[0] == 403


async def test_bad_labels_are_invalid():
    sent = labelled(enforce="strict", warn_version="1.30")
    result = await run(PodSecurity(FakeLister()), asked("create", "namespaces", sent))
    assert result == (
        422,
        (
            'Namespace "default" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]:'
            ' Invalid value: "strict": must be one of privileged, baseline, restricted,'
            " metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value:"
            ' "1.30": must be "latest" or "v1.x"]'
        ),
    )


async def test_a_stricter_namespace_is_warned_of_the_pods_it_holds():
    plugin = PodSecurity(FakeLister(pod("b"), pod("a"), with_context(**SAFE)))
    request = asked(
        "update", "namespaces", labelled(enforce="restricted"), old=namespace("default")
    )
    await run(plugin, request)
    assert request.request.warnings == [
        (
            'existing pods in namespace "default" violate the new PodSecurity enforce level'
            ' "restricted:latest"'
        ),
        f"a (and 1 other pod): {ALL_OF_RESTRICTED}",
    ]
