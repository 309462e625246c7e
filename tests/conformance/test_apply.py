"""kubectl apply, on the client's side, on the server's, and from one to the other."""

import json

from tests.conformance.api import Api, Object
from tests.conformance.kubectl import Kubectl
from tests.conformance.objects import workload

ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"


def manifest(*, image: str = "nginx:1", replicas: int = 1) -> str:
    body = workload("web", replicas=replicas)
    body["spec"]["template"]["spec"]["containers"][0]["image"] = image
    return json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", **body})


def said(obj: Object) -> Object:
    """The spec that the annotation of an object holds."""
    spec: Object = json.loads(obj["metadata"]["annotations"][ANNOTATION])["spec"]
    return spec


def owners(obj: Object) -> set[tuple[str, str]]:
    """Managers but for those of subresources."""
    listed = obj["metadata"]["managedFields"]
    return {(each["manager"], each["operation"]) for each in listed if "subresource" not in each}


def test_kubectl_goes_from_client_side_to_server_side_apply_and_back(
    api: Api, kubectl: Kubectl, namespace: str
) -> None:
    deployments = api.at("apps/v1", "deployments", namespace)
    kubectl(f"apply -n {namespace} -f -", stdin=manifest())
    assert ("kubectl-client-side-apply", "Update") in owners(deployments.get("web"))
    told = kubectl(f"apply --server-side -n {namespace} -f -", stdin=manifest(replicas=2))
    assert told == "deployment.apps/web serverside-applied\n"
    moved = deployments.get("web")
    assert moved["spec"]["replicas"] == 2
    assert ("kubectl", "Apply") in owners(moved)
    assert ("kubectl-client-side-apply", "Update") not in owners(moved)
    assert said(moved)["replicas"] == 2
    told = kubectl(f"apply -n {namespace} -f -", stdin=manifest(image="nginx:2", replicas=2))
    assert told == "deployment.apps/web configured\n"
    back = deployments.get("web")
    assert back["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:2"
    assert said(back)["template"]["spec"]["containers"][0]["image"] == "nginx:2"


def test_a_second_applier_is_told_of_the_conflict_and_may_force_it(
    api: Api, kubectl: Kubectl, namespace: str
) -> None:
    kubectl(f"apply --server-side -n {namespace} -f -", stdin=manifest())
    other = f"apply --server-side --field-manager=other -n {namespace} -f -"
    told = kubectl(other, stdin=manifest(replicas=3), expect=1)
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .spec.replicas' in told
    told = kubectl(
        f"diff --server-side --field-manager=other --force-conflicts -n {namespace} -f -",
        stdin=manifest(replicas=3),
        expect=1,
    )
    assert "+  replicas: 3" in told
    kubectl(f"{other} --force-conflicts", stdin=manifest(replicas=3))
    live = api.at("apps/v1", "deployments", namespace).get("web")
    assert live["spec"]["replicas"] == 3
    assert {("kubectl", "Apply"), ("other", "Apply")} <= owners(live)
