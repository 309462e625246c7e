"""The pods and volume claims of a StatefulSet, as they are made. Pure.

Upstream: `pkg/controller/statefulset/stateful_set_utils.go`.
"""

from ekslab.kube.api.requests import Object
from ekslab.kube.controllers.stateful_set.plan import POD_INDEX, POD_NAME
from ekslab.kube.runtime.history import HASH_LABEL
from ekslab.kube.runtime.ownership import owner_reference


def identity(pod_name: str, ordinal: int) -> dict[str, str]:
    """The labels that say which pod this is."""
    return {POD_NAME: pod_name, POD_INDEX: str(ordinal)}


def claim_name(template: Object, obj: Object, ordinal: int) -> str:
    """The name of a volume claim: `data-web-0`."""
    return f"{template['metadata']['name']}-{obj['metadata']['name']}-{ordinal}"


def new_pod(obj: Object, template: Object, *, ordinal: int, revision: str) -> Object:
    """A pod of the set, of the template of that revision. Parts are shared."""
    meta, template_meta = obj["metadata"], template.get("metadata") or {}
    name = f"{meta['name']}-{ordinal}"
    labels = {**(template_meta.get("labels") or {}), **identity(name, ordinal)}
    pod_meta: Object = {
        "name": name,
        "generateName": meta["name"] + "-",
        "namespace": meta["namespace"],
        "labels": {**labels, HASH_LABEL: revision},
        "ownerReferences": [owner_reference(obj)],
    }
    for key in ("annotations", "finalizers"):
        if template_meta.get(key):
            pod_meta[key] = template_meta[key]
    spec = {**template["spec"], "hostname": name}
    if obj["spec"].get("serviceName"):
        spec["subdomain"] = obj["spec"]["serviceName"]
    claims = obj["spec"].get("volumeClaimTemplates") or ()
    if claims:
        volumes = [
            {
                "name": one["metadata"]["name"],
                "persistentVolumeClaim": {"claimName": claim_name(one, obj, ordinal)},
            }
            for one in claims
        ]
        own = {volume["name"] for volume in volumes}
        others = [one for one in spec.get("volumes") or () if one["name"] not in own]
        spec["volumes"] = [*volumes, *others]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": pod_meta, "spec": spec}


def new_claims(obj: Object, ordinal: int) -> list[Object]:
    """The volume claims of one pod. With `whenDeleted: Delete` they go with the set."""
    spec = obj["spec"]
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    found: list[Object] = []
    for template in spec.get("volumeClaimTemplates") or ():
        meta = template["metadata"]
        labels = {**(meta.get("labels") or {}), **(spec["selector"].get("matchLabels") or {})}
        claim_meta: Object = {
            "name": claim_name(template, obj, ordinal),
            "namespace": obj["metadata"]["namespace"],
            "labels": labels,
        }
        if meta.get("annotations"):
            claim_meta["annotations"] = meta["annotations"]
        if retention.get("whenDeleted") == "Delete":
            claim_meta["ownerReferences"] = [owner_reference(obj)]
        found.append(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": claim_meta,
                "spec": template["spec"],
            }
        )
    return found
