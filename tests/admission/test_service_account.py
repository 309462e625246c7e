import asyncio
from collections.abc import Iterator

import pytest

from ekslab.kit.clock import LoopClock
from ekslab.kit.ids import Ids
from ekslab.kit.rng import Rng
from ekslab.kit.virtual import VirtualLoop
from ekslab.kube.api.requests import Object
from ekslab.kube.apiserver.admission.service_account import ServiceAccountAdmission
from tests.admission.requests import asked, run
from tests.fakes.lister import FakeLister, pod, service_account

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_MOUNT = {"name": "kube-api-access-x", "readOnly": True, "mountPath": TOKEN_PATH}


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


def plugin(loop: asyncio.AbstractEventLoop, *objects: Object) -> ServiceAccountAdmission:
    clock = LoopClock(loop, epoch_s=0)
    return ServiceAccountAdmission(FakeLister(*objects), clock, Ids(Rng(1)))


def mirror() -> Object:
    obj = pod()
    obj["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    return obj


def test_a_pod_gets_the_default_account_and_its_token(loop: VirtualLoop):
    init = {"name": "init", "image": "i"}
    sent = pod(initContainers=[init])
    request = asked("create", "pods", sent)
    spec = loop.run_until_complete(run(plugin(loop, service_account("default")), request))["spec"]
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
    [volume] = spec["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    assert len(volume["name"]) == len("kube-api-access-") + 5
    for container in (*spec["containers"], *spec["initContainers"]):
        assert container["volumeMounts"] == [TOKEN_MOUNT | {"name": volume["name"]}]
    assert volume["projected"] == {
        "defaultMode": 420,
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {
                "configMap": {
                    "name": "kube-root-ca.crt",
                    "items": [{"key": "ca.crt", "path": "ca.crt"}],
                }
            },
            {
                "downwardAPI": {
                    "items": [
                        {
                            "path": "namespace",
                            "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                        }
                    ]
                }
            },
        ],
    }


@pytest.mark.parametrize(
    ("spec", "account", "mounted"),
    [
        pytest.param({}, {}, True, id="nobody says anything"),
        pytest.param({"automountServiceAccountToken": False}, {}, False, id="the pod declines"),
        pytest.param({}, {"automountServiceAccountToken": False}, False, id="the account declines"),
        pytest.param(
            {"automountServiceAccountToken": True},
            {"automountServiceAccountToken": False},
            True,
            id="the pod's word counts",
        ),
    ],
)
def test_the_token_is_mounted_unless_declined(
    loop: VirtualLoop, *, spec: Object, account: Object, mounted: bool
):
    subject = plugin(loop, service_account("default", **account))
    result = loop.run_until_complete(run(subject, asked("create", "pods", pod(**spec))))
    assert ("volumes" in result["spec"]) is mounted


def test_a_mount_of_the_users_own_at_that_path_stays_alone(loop: VirtualLoop):
    own = {"name": "mine", "mountPath": TOKEN_PATH}
    sent = pod(containers=[{"name": "main", "volumeMounts": [own]}])
    subject = plugin(loop, service_account("default"))
    result = loop.run_until_complete(run(subject, asked("create", "pods", sent)))
    assert result["spec"]["containers"][0]["volumeMounts"] == [own]
    assert "volumes" not in result["spec"]


def test_pull_secrets_are_lent_if_the_pod_has_none(loop: VirtualLoop):
    subject = plugin(loop, service_account("default", imagePullSecrets=[{"name": "hub"}]))
    lent = loop.run_until_complete(run(subject, asked("create", "pods", pod())))
    assert lent["spec"]["imagePullSecrets"] == [{"name": "hub"}]
    own = pod(imagePullSecrets=[{"name": "own"}])
    kept = loop.run_until_complete(run(subject, asked("create", "pods", own)))
    assert kept["spec"]["imagePullSecrets"] == [{"name": "own"}]


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        pytest.param(
            pod(serviceAccountName="bot"),
            'pods "web" is forbidden: error looking up service account default/bot:'
            ' serviceaccount "bot" not found',
            id="no such account",
        ),
        pytest.param(
            {**mirror(), "spec": {"containers": [], "serviceAccountName": "default"}},
            'pods "web" is forbidden: a mirror pod may not reference service accounts',
            id="mirror pod with an account",
        ),
        pytest.param(
            {
                **mirror(),
                "spec": {
                    "containers": [],
                    "volumes": [{"name": "v", "secret": {"secretName": "s"}}],
                },
            },
            'pods "web" is forbidden: a mirror pod may not reference secrets',
            id="mirror pod with a secret",
        ),
        pytest.param(
            {
                **mirror(),
                "spec": {
                    "containers": [],
                    "volumes": [
                        {"name": "v", "projected": {"sources": [{"serviceAccountToken": {}}]}}
                    ],
                },
            },
            'pods "web" is forbidden: a mirror pod may not use ServiceAccountToken volume'
            " projections",
            id="mirror pod with a token",
        ),
    ],
)
def test_bad_pods_are_refused(loop: VirtualLoop, sent: Object, message: str):
    subject = plugin(loop, service_account("default"))
    result = loop.run_until_complete(run(subject, asked("create", "pods", sent)))
    assert result == (403, message)


def test_a_mirror_pod_is_left_as_it_is(loop: VirtualLoop):
    result = loop.run_until_complete(run(plugin(loop), asked("create", "pods", mirror())))
    assert result == mirror()


def test_secrets_can_be_limited_to_those_the_account_names(loop: VirtualLoop):
    account = service_account("default", secrets=[{"name": "known"}])
    account["metadata"]["annotations"] = {"kubernetes.io/enforce-mountable-secrets": "true"}
    env = {"name": "E", "valueFrom": {"secretKeyRef": {"name": "other", "key": "k"}}}
    sent = pod(containers=[{"name": "main", "env": [env]}])
    result = loop.run_until_complete(run(plugin(loop, account), asked("create", "pods", sent)))
    assert result == (
        403,
        (
            'pods "web" is forbidden: container main with envVar E referencing'
            ' secret.secretName="other" is not allowed because service account default does not'
            " reference that secret"
        ),
    )


def test_the_default_account_of_a_new_namespace_is_waited_for(loop: VirtualLoop):
    lister = FakeLister()
    subject = ServiceAccountAdmission(lister, LoopClock(loop, epoch_s=0), Ids(Rng(1)))
    loop.call_later(0.5, lambda: lister.put(service_account("default")))
    result = loop.run_until_complete(run(subject, asked("create", "pods", pod())))
    assert result["spec"]["serviceAccountName"] == "default"
    assert loop.time() < 0.6


def test_the_wait_for_the_default_account_ends(loop: VirtualLoop):
    result = loop.run_until_complete(run(plugin(loop), asked("create", "pods", pod())))
    assert result == (
        403,
        (
            'pods "web" is forbidden: error looking up service account default/default:'
            ' serviceaccount "default" not found'
        ),
    )
    assert 1.0 < loop.time() < 2.0
