"""What is done for service accounts unasked, on virtual time."""

import itertools

import pytest

from ekslab.kube.api.well_known import CONFIG_MAPS, PODS, SERVICE_ACCOUNTS
from tests.conformance.api import Object
from tests.conformance.objects import pod
from tests.conformance.running import Running, lived

conformance = pytest.mark.conformance

ROOT_CA = "kube-root-ca.crt"
MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


@conformance("serviceaccount-root-ca")
@lived(nodes=0)
async def test_every_namespace_has_the_root_certificate(lab: Running) -> None:
    await lab.create_namespace("shown")

    def found() -> Object:
        return lab.find(CONFIG_MAPS, ROOT_CA, namespace="shown") or {}

    await lab.until(found)
    data = found()["data"]
    assert data["ca.crt"].startswith("-----BEGIN CERTIFICATE-----")
    uid = found()["metadata"]["uid"]
    await lab.delete(CONFIG_MAPS, ROOT_CA, namespace="shown")
    await lab.until(lambda: found().get("metadata", {}).get("uid", uid) != uid)
    assert found()["data"] == data
    await lab.patch(CONFIG_MAPS, ROOT_CA, {"data": {"ca.crt": ""}}, namespace="shown")
    await lab.until(lambda: found()["data"] == data)


@conformance("serviceaccount-automount-optout")
@lived(nodes=0)
async def test_pod_and_account_may_opt_out_of_the_token(lab: Running) -> None:
    choices = {"unset": None, "true": True, "false": False}
    for account, choice in choices.items():
        body: Object = {"metadata": {"name": account}}
        if choice is not None:
            body["automountServiceAccountToken"] = choice
        await lab.create(SERVICE_ACCOUNTS, body)
    for account, own in itertools.product(choices, choices):
        spec: Object = {"serviceAccountName": account}
        if choices[own] is not None:
            spec["automountServiceAccountToken"] = choices[own]
        made = await lab.create(PODS, pod(f"{account}-{own}", **spec))
        mounts = made["spec"]["containers"][0].get("volumeMounts", ())
        is_mounted = MOUNT in [one["mountPath"] for one in mounts]
        opted_out = own == "false" or (own == "unset" and account == "false")
        assert is_mounted is not opted_out, made["metadata"]["name"]
