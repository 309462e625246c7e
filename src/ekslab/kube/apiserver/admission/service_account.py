"""ServiceAccount: every pod runs as a service account and gets its token mounted.

Upstream: `plugin/pkg/admission/serviceaccount`. What is written is what upstream's defaulting makes
of it (modes, field API versions), because defaulting has run before.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from ekslab.kit.clock import Clock
from ekslab.kit.ids import Ids
from ekslab.kube.api.objects import Item
from ekslab.kube.api.ports import AdmissionRequest, Lister, Operation
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import SERVICE_ACCOUNTS
from ekslab.kube.apiserver.admission.chain import CREATE, UPDATE, Plugin, Takes, refusal
from ekslab.kube.auth.service_accounts import WARN_ONLY_EXPIRATION_S

MIRROR_ANNOTATION: Final = "kubernetes.io/config.mirror"
_VOLUME_PREFIX: Final = "kube-api-access-"
_MOUNT_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_ENFORCE_ANNOTATION: Final = "kubernetes.io/enforce-mountable-secrets"
_TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})  # strconv.ParseBool
# Upstream looks up to ten times, 100-200 ms apart, for the account of a namespace just made.
_DEFAULT_ACCOUNT_LOOKS: Final = 60
_DEFAULT_ACCOUNT_PAUSE_S: Final = 0.025


class ServiceAccountAdmission(Plugin):
    """Names the account, checks that it exists, mounts its token, lends its pull secrets."""

    name = "ServiceAccount"
    takes: ClassVar[Takes] = {("pods", ""): CREATE, ("pods", "ephemeralcontainers"): UPDATE}

    def __init__(self, lister: Lister, clock: Clock, ids: Ids) -> None:
        self._lister = lister
        self._clock = clock
        self._ids = ids

    async def admit(self, request: AdmissionRequest) -> None:
        """Complete a new pod."""
        pod = request.obj
        if pod is None or request.operation is not Operation.CREATE or _is_mirror(pod):
            return
        spec = pod["spec"]
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = (await self._account(request, name)).object
        if _automounts(account, spec):
            self._mount_token(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            secrets = account["imagePullSecrets"]
            spec["imagePullSecrets"] = [{"name": secret.get("name", "")} for secret in secrets]

    async def validate(self, request: AdmissionRequest) -> None:
        """Refuse pods without an account, and secrets the account may not use."""
        pod = request.obj
        if pod is None:
            return
        spec = pod["spec"]
        if _is_mirror(pod) and request.operation is Operation.CREATE:
            _check_mirror(request, spec)
            return
        name = spec.get("serviceAccountName")
        namespace = request.request.namespace
        if not name:
            pod_name = pod["metadata"].get("name", "")
            raise refusal(request, f"no service account specified for pod {namespace}/{pod_name}")
        account = (await self._account(request, name)).object
        annotations = account["metadata"].get("annotations") or {}
        if annotations.get(_ENFORCE_ANNOTATION) in _TRUE:
            _check_secrets(request, account, spec)

    async def _account(self, request: AdmissionRequest, name: str) -> Item:
        namespace = request.request.namespace
        account = self._lister.get(SERVICE_ACCOUNTS, name, namespace)
        looks = _DEFAULT_ACCOUNT_LOOKS if name == "default" else 0
        while account is None and looks > 0:
            looks -= 1
            await self._clock.sleep(_DEFAULT_ACCOUNT_PAUSE_S)
            account = self._lister.get(SERVICE_ACCOUNTS, name, namespace)
        if account is None:
            raise refusal(
                request,
                f"error looking up service account {namespace}/{name}:"
                f' serviceaccount "{name}" not found',
            )
        return account

    def _mount_token(self, spec: dict[str, Any]) -> None:
        volumes: list[Object] = spec.setdefault("volumes", [])
        existing = next((v["name"] for v in volumes if v["name"].startswith(_VOLUME_PREFIX)), "")
        name = existing or _VOLUME_PREFIX + self._ids.suffix()
        needed = False
        for kind in ("initContainers", "containers"):
            for container in spec.get(kind) or ():
                mounts = container.setdefault("volumeMounts", [])
                # A mount at that path is the user's own choice: it stays.
                if any(mount.get("mountPath") == _MOUNT_PATH for mount in mounts):
                    continue
                mounts.append({"name": name, "readOnly": True, "mountPath": _MOUNT_PATH})
                needed = True
        if needed and not existing:
            volumes.append({"name": name, "projected": _token_volume()})
        if not volumes:
            del spec["volumes"]


def _token_volume() -> Object:
    namespace = {
        "path": "namespace",
        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
    }
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": WARN_ONLY_EXPIRATION_S, "path": "token"}},
            {
                "configMap": {
                    "name": "kube-root-ca.crt",
                    "items": [{"key": "ca.crt", "path": "ca.crt"}],
                }
            },
            {"downwardAPI": {"items": [namespace]}},
        ],
        "defaultMode": 420,
    }


def _automounts(account: Object, spec: dict[str, Any]) -> bool:
    for place in (spec, account):
        wish = place.get("automountServiceAccountToken")
        if wish is not None:
            return bool(wish)
    return True


def _is_mirror(pod: Object) -> bool:
    return MIRROR_ANNOTATION in (pod["metadata"].get("annotations") or {})


def _check_mirror(request: AdmissionRequest, spec: dict[str, Any]) -> None:
    if spec.get("serviceAccountName"):
        raise refusal(request, "a mirror pod may not reference service accounts")
    volumes: list[Object] = spec.get("volumes") or []
    sources = [
        source
        for volume in volumes
        for source in (volume.get("projected") or {}).get("sources") or ()
    ]
    if (
        any("secret" in place for place in (*volumes, *sources))
        or any(True for _ in _secret_references(spec))
        or spec.get("imagePullSecrets")
    ):
        raise refusal(request, "a mirror pod may not reference secrets")
    if any("serviceAccountToken" in source for source in sources):
        raise refusal(request, "a mirror pod may not use ServiceAccountToken volume projections")


def _secret_references(spec: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(upstream's words for the place, name of the secret) of every environment reference."""
    for field, label in (
        ("initContainers", "init container"),
        ("containers", "container"),
        ("ephemeralContainers", "ephemeral container"),
    ):
        for container in spec.get(field) or ():
            who = f"{label} {container['name']}"
            for env in container.get("env") or ():
                ref = (env.get("valueFrom") or {}).get("secretKeyRef")
                if ref:
                    yield f"{who} with envVar {env['name']}", ref.get("name", "")
            for source in container.get("envFrom") or ():
                if source.get("secretRef"):
                    yield f"{who} with envFrom", source["secretRef"].get("name", "")


def _check_secrets(request: AdmissionRequest, account: Object, spec: dict[str, Any]) -> None:
    name = account["metadata"]["name"]
    mountable = {ref.get("name") for ref in account.get("secrets") or ()}
    why = f"is not allowed because service account {name} does not reference that"
    for volume in spec.get("volumes") or ():
        secret = (volume.get("secret") or {}).get("secretName")
        if secret and secret not in mountable:
            raise refusal(request, f'volume with secret.secretName="{secret}" {why} secret')
    for place, secret in _secret_references(spec):
        if secret not in mountable:
            text = f'{place} referencing secret.secretName="{secret}" {why} secret'
            raise refusal(request, text)
    pull = {ref.get("name") for ref in account.get("imagePullSecrets") or ()}
    for index, ref in enumerate(spec.get("imagePullSecrets") or ()):
        if ref.get("name") not in pull:
            text = f'imagePullSecrets[{index}].name="{ref.get("name")}" {why} imagePullSecret'
            raise refusal(request, text)
