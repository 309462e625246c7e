"""How parts that several kinds share are written in a cell."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

NONE: Final = "<none>"
UNSET: Final = "<unset>"
UNKNOWN: Final = "<unknown>"
_SHOWN_MOST: Final = 3
_MODES: Final = (
    ("ReadWriteOnce", "RWO"),
    ("ReadOnlyMany", "ROX"),
    ("ReadWriteMany", "RWX"),
    ("ReadWriteOncePod", "RWOP"),
)


def labels(wanted: Mapping[str, str] | None) -> str:
    """`a=b,c=d`, by key."""
    if not wanted:
        return NONE
    return ",".join(f"{key}={value}" for key, value in sorted(wanted.items()))


def selector(wanted: Mapping[str, Any] | None) -> str:
    """A label selector in the form one types it, by key."""
    if wanted is None:
        return NONE
    parts = [(key, f"{key}={value}") for key, value in (wanted.get("matchLabels") or {}).items()]
    for expression in wanted.get("matchExpressions") or ():
        key = expression.get("key", "")
        values = ",".join(sorted(expression.get("values") or ()))
        written = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }
        parts.append((key, written.get(expression.get("operator", ""), key)))
    return ",".join(text for _, text in sorted(parts)) or NONE


def containers_and_images(spec: Mapping[str, Any]) -> list[str]:
    """The two cells of a pod template: names of its containers, and their images."""
    containers = spec.get("containers") or ()
    return [
        ",".join(container.get("name", "") for container in containers),
        ",".join(container.get("image", "") for container in containers),
    ]


def truth(value: object) -> str:
    """`True`, `False`, or `<unset>`."""
    return UNSET if value is None else str(value)


def shortened(items: Sequence[str], empty: str) -> str:
    """The first three, and how many more there are."""
    if not items:
        return empty
    text = ",".join(items[:_SHOWN_MOST])
    rest = len(items) - _SHOWN_MOST
    return f"{text} + {rest} more..." if rest > 0 else text


def access_modes(modes: Sequence[str] | None) -> str:
    """`RWO,ROX`, in upstream's order."""
    return ",".join(short for long, short in _MODES if long in (modes or ()))


def condition(obj: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The condition of that type in an object's status, empty if there is none."""
    for each in (obj.get("status") or {}).get("conditions") or ():
        if each.get("type") == kind:
            found: Mapping[str, Any] = each
            return found
    return {}


def load_balancer(status: Mapping[str, Any]) -> str:
    """Addresses and host names of a load balancer, sorted."""
    ingress = (status.get("loadBalancer") or {}).get("ingress") or ()
    found = {entry.get("ip") or entry.get("hostname") or "" for entry in ingress}
    return ",".join(sorted(found - {""}))


def host_port(address: str, port: int) -> str:
    """`1.2.3.4:80`, `[::1]:80`."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
