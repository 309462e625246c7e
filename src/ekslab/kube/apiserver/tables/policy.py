"""The cells of kinds about access, networking, admission, scheduling and extension."""

from collections.abc import Mapping
from typing import Any

from ekslab.kube.apiserver.tables import cells
from ekslab.kube.apiserver.tables.durations import age, human_duration

Object = dict[str, Any]


def _name(obj: Object) -> str:
    return str(obj["metadata"].get("name", ""))


def _spec(obj: Object) -> Mapping[str, Any]:
    return obj.get("spec") or {}


def role_binding(obj: Object, now: float) -> list[Any]:
    """The role; wide: who has it."""
    role, subjects = obj.get("roleRef") or {}, obj.get("subjects") or ()
    by_kind: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in subjects:
        kind, name = subject.get("kind", ""), subject.get("name", "")
        if kind == "ServiceAccount":
            name = f"{subject.get('namespace', '')}/{name}"
        by_kind.setdefault(kind, []).append(name)
    return [
        _name(obj),
        f"{role.get('kind', '')}/{role.get('name', '')}",
        age(obj, now),
        ", ".join(by_kind["User"]),
        ", ".join(by_kind["Group"]),
        ", ".join(by_kind["ServiceAccount"]),
    ]


def signing_request(obj: Object, now: float) -> list[Any]:
    """Who asks whom for a certificate, and what came of it."""
    spec = _spec(obj)
    seconds = spec.get("expirationSeconds")
    return [
        _name(obj),
        age(obj, now),
        spec.get("signerName") or cells.NONE,
        spec.get("username", ""),
        cells.NONE if seconds is None else human_duration(seconds),
        _signing_state(obj),
    ]


def _signing_state(obj: Object) -> str:
    kinds = {each.get("type") for each in (obj.get("status") or {}).get("conditions") or ()}
    if "Denied" in kinds:
        state = "Denied"
    elif "Approved" in kinds:
        state = "Approved"
    else:
        state = "Pending"
    if "Failed" in kinds:
        state += ",Failed"
    if (obj.get("status") or {}).get("certificate"):
        state += ",Issued"
    return state


def trust_bundle(obj: Object, now: float) -> list[Any]:
    """Its signer."""
    del now
    return [_name(obj), _spec(obj).get("signerName") or cells.NONE]


def lease(obj: Object, now: float) -> list[Any]:
    """Who holds it."""
    return [_name(obj), _spec(obj).get("holderIdentity", ""), age(obj, now)]


def lease_candidate(obj: Object, now: float) -> list[Any]:
    """What it is a candidate for."""
    spec = _spec(obj)
    return [
        _name(obj),
        spec.get("leaseName", ""),
        spec.get("binaryVersion", ""),
        spec.get("emulationVersion", ""),
        age(obj, now),
    ]


def ingress(obj: Object, now: float) -> list[Any]:
    """Class, hosts, address, ports."""
    spec = _spec(obj)
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    return [
        _name(obj),
        spec.get("ingressClassName") or cells.NONE,
        cells.shortened(hosts, "*"),
        cells.load_balancer(obj.get("status") or {}),
        "80, 443" if spec.get("tls") else "80",
        age(obj, now),
    ]


def ingress_class(obj: Object, now: float) -> list[Any]:
    """Controller and parameters."""
    spec = _spec(obj)
    given = spec.get("parameters")
    parameters = cells.NONE
    if given:
        group = f".{given['apiGroup']}" if given.get("apiGroup") else ""
        parameters = f"{given.get('kind', '')}{group}/{given.get('name', '')}"
    return [_name(obj), spec.get("controller", ""), parameters, age(obj, now)]


def network_policy(obj: Object, now: float) -> list[Any]:
    """Which pods it is about."""
    return [_name(obj), cells.selector(_spec(obj).get("podSelector")), age(obj, now)]


def service_cidr(obj: Object, now: float) -> list[Any]:
    """Its networks."""
    return [_name(obj), ",".join(_spec(obj).get("cidrs") or ()), age(obj, now)]


def ip_address(obj: Object, now: float) -> list[Any]:
    """What the address belongs to."""
    del now
    parent = _spec(obj).get("parentRef")
    if not parent:
        return [_name(obj), cells.NONE]
    kind = parent.get("resource", "")
    if parent.get("group"):
        kind = f"{kind}.{parent['group']}"
    parts = [kind, parent.get("namespace", ""), parent.get("name", "")]
    return [_name(obj), "/".join(part for part in parts if part)]


def priority_class(obj: Object, now: float) -> list[Any]:
    """Value, whether it is the default, whether it preempts."""
    return [
        _name(obj),
        obj.get("value", 0),
        bool(obj.get("globalDefault")),
        age(obj, now),
        obj.get("preemptionPolicy", ""),
    ]


def runtime_class(obj: Object, now: float) -> list[Any]:
    """Its handler."""
    return [_name(obj), obj.get("handler", ""), age(obj, now)]


def webhooks(obj: Object, now: float) -> list[Any]:
    """How many webhooks it configures."""
    return [_name(obj), len(obj.get("webhooks") or ()), age(obj, now)]


def admission_policy(obj: Object, now: float) -> list[Any]:
    """How many rules, and what parameterizes them."""
    spec = _spec(obj)
    kind = spec.get("paramKind")
    rules = spec.get("validations") or spec.get("mutations") or ()
    shown = f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else cells.UNSET
    return [_name(obj), len(rules), shown, age(obj, now)]


def admission_binding(obj: Object, now: float) -> list[Any]:
    """Which policy is bound, with which parameters."""
    spec = _spec(obj)
    param = spec.get("paramRef")
    shown = cells.UNSET
    if param:
        name, namespace = param.get("name"), param.get("namespace")
        shown = f"{namespace or '*'}/{name}" if name else f"{namespace or '*'}/*"
    return [_name(obj), spec.get("policyName", ""), shown, age(obj, now)]


def flow_schema(obj: Object, now: float) -> list[Any]:
    """Where its requests go."""
    spec = _spec(obj)
    method = spec.get("distinguisherMethod") or {}
    return [
        _name(obj),
        (spec.get("priorityLevelConfiguration") or {}).get("name", ""),
        spec.get("matchingPrecedence", 0),
        method.get("type") or cells.NONE,
        age(obj, now),
        cells.condition(obj, "Dangling").get("status") or "?",
    ]


def priority_level(obj: Object, now: float) -> list[Any]:
    """Shares and queues."""
    spec = _spec(obj)
    limited = spec.get("limited") or spec.get("exempt") or {}
    queuing = (limited.get("limitResponse") or {}).get("queuing") or {}
    return [
        _name(obj),
        spec.get("type", ""),
        limited.get("nominalConcurrencyShares", cells.NONE),
        queuing.get("queues", cells.NONE),
        queuing.get("handSize", cells.NONE),
        queuing.get("queueLengthLimit", cells.NONE),
        age(obj, now),
    ]


def api_service(obj: Object, now: float) -> list[Any]:
    """Who serves it, and whether it does."""
    service = _spec(obj).get("service")
    where = f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local"
    available = cells.condition(obj, "Available")
    state = available.get("status", "Unknown")
    if state != "True" and available.get("reason"):
        state = f"{state} ({available['reason']})"
    return [_name(obj), where, state, age(obj, now)]


def named(obj: Object, now: float) -> list[Any]:
    """Nothing but name and age."""
    return [_name(obj), age(obj, now)]


def created(obj: Object, now: float) -> list[Any]:
    """Kinds upstream has no printer for: name and time of creation."""
    del now
    return [_name(obj), obj["metadata"].get("creationTimestamp")]


def resource_claim(obj: Object, now: float) -> list[Any]:
    """What became of the claim."""
    status = obj.get("status") or {}
    states = []
    if "deletionTimestamp" in obj["metadata"]:
        states.append("deleted")
    if not status.get("allocation"):
        if "deletionTimestamp" not in obj["metadata"]:
            states.append("pending")
    else:
        states.append("allocated")
        states.append("reserved" if status.get("reservedFor") else "")
    return [_name(obj), ",".join(state for state in states if state), age(obj, now)]


def resource_slice(obj: Object, now: float) -> list[Any]:
    """Which driver offers what where."""
    spec = _spec(obj)
    pool = (spec.get("pool") or {}).get("name", "")
    return [_name(obj), spec.get("nodeName", ""), spec.get("driver", ""), pool, age(obj, now)]


def scale(obj: Object, now: float) -> list[Any]:
    """Desired and actual replicas."""
    replicas = (obj.get("status") or {}).get("replicas", 0)
    return [_name(obj), _spec(obj).get("replicas", 0), replicas, age(obj, now)]
