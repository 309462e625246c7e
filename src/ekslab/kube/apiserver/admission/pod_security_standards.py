"""The Pod Security Standards: which pods are `baseline`, which `restricted`, and why not.

Pure functions over a pod's metadata and spec. Facts (checks, allowed values, words, their order)
from k8s.io/pod-security-admission `policy/check_*.go` of Kubernetes 1.36; only the newest version
of each check is kept, so a level pinned to an older version is judged by today's rules.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import orjson

from ekslab.kube.api.requests import Object

Spec = dict[str, Any]
Check = Callable[[Object, Spec], str]
"""Says what is wrong, as `reason (detail)`; "" if nothing is."""

_CAPABILITIES: Final = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
        "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip
_SELINUX_TYPES: Final = frozenset(
    {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
)
_SYSCTLS: Final = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
_VOLUMES: Final = frozenset(
    {
        "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image",
        "persistentVolumeClaim", "projected", "secret",
    }
)  # fmt: skip
_PROFILES: Final = frozenset({"RuntimeDefault", "Localhost"})
_APPARMOR_PREFIX: Final = "container.apparmor.security.beta.kubernetes.io/"


def violations(level: str, metadata: Object, spec: Spec) -> str:
    """What keeps a pod from the level, in upstream's words; "" if nothing does."""
    found = [check(metadata, spec) for check in _CHECKS[level]]
    return ", ".join(text for text in found if text)


def _app_armor(metadata: Object, spec: Spec) -> str:
    setters, values = _profile_setters(spec, "appArmorProfile")
    bad = []
    for key, value in (metadata.get("annotations") or {}).items():
        fine = value in {"", "runtime/default"} or value.startswith("localhost/")
        if key.startswith(_APPARMOR_PREFIX) and not fine:
            bad.append(f"{key}={orjson.dumps(value).decode()}")
    if bad:
        setters.append(_plural("annotation", bad))
        values += sorted(bad)
    if not setters:
        return ""
    reason = _plural("forbidden AppArmor profile", values)
    return f"{reason} ({' and '.join(setters)} must not set AppArmor profile type to {_q(values)})"


def _capabilities_baseline(_metadata: Object, spec: Spec) -> str:
    names, bad = _added_capabilities(spec, _CAPABILITIES)
    if not names:
        return ""
    detail = f"{_containers(names)} must not include {_q(bad)} in securityContext.capabilities.add"
    return f"non-default capabilities ({detail})"


def _host_namespaces(_metadata: Object, spec: Spec) -> str:
    used = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return f"host namespaces ({', '.join(used)})" if used else ""


def _host_path(_metadata: Object, spec: Spec) -> str:
    names = [volume["name"] for volume in spec.get("volumes") or () if "hostPath" in volume]
    return f"hostPath volumes ({_plural('volume', names)} {_q(names)})" if names else ""


def _host_ports(_metadata: Object, spec: Spec) -> str:
    used = {
        container["name"]: [
            str(port["hostPort"]) for port in container.get("ports") or () if port.get("hostPort")
        ]
        for container in _all(spec)
    }
    names = [name for name, ports in used.items() if ports]
    if not names:
        return ""
    ports = sorted({port for ports in used.values() for port in ports})
    uses = "uses" if len(names) == 1 else "use"
    detail = f"{_containers(names)} {uses} {_plural('hostPort', ports)} {', '.join(ports)}"
    return f"hostPort ({detail})"


def _host_probes(_metadata: Object, spec: Spec) -> str:
    used = {container["name"]: set(_hosts(container)) for container in _all(spec)}
    names = sorted(name for name, hosts in used.items() if hosts)
    if not names:
        return ""
    hosts = sorted(set().union(*used.values()))
    uses = "uses" if len(names) == 1 else "use"
    what = _plural("probe or lifecycle host", hosts)
    return f"probe or lifecycle host ({_containers(names)} {uses} {what} {_q(hosts)})"


def _hosts(container: Spec) -> Iterator[str]:
    lifecycle = container.get("lifecycle") or {}
    handlers = [container.get(f"{kind}Probe") for kind in ("liveness", "readiness", "startup")]
    for handler in (*handlers, lifecycle.get("postStart"), lifecycle.get("preStop")):
        for kind in ("httpGet", "tcpSocket"):
            host = ((handler or {}).get(kind) or {}).get("host")
            if host:
                yield host


def _privileged(_metadata: Object, spec: Spec) -> str:
    names = [name for name, context in _contexts(spec) if context.get("privileged")]
    detail = "must not set securityContext.privileged=true"
    return f"privileged ({_containers(names)} {detail})" if names else ""


def _proc_mount(_metadata: Object, spec: Spec) -> str:
    mounts = {name: context.get("procMount", "Default") for name, context in _contexts(spec)}
    names = [name for name, mount in mounts.items() if mount != "Default"]
    if not names:
        return ""
    values = sorted({mounts[name] for name in names})
    return (
        f"procMount ({_containers(names)} must not set securityContext.procMount to {_q(values)})"
    )


def _proc_mount_baseline(metadata: Object, spec: Spec) -> str:
    return "" if spec.get("hostUsers") is False else _proc_mount(metadata, spec)


def _selinux(_metadata: Object, spec: Spec) -> str:
    wrong: list[Object] = []

    def is_bad(context: Spec) -> bool:
        options = context.get("seLinuxOptions") or {}
        bad = options.get("type", "") not in _SELINUX_TYPES
        bad = bad or bool(options.get("user") or options.get("role"))
        if bad:
            wrong.append(options)
        return bad

    setters = _setters(spec, is_bad)
    if not setters:
        return ""
    types = sorted({one.get("type", "") for one in wrong} - _SELINUX_TYPES)
    data = [f"{_plural('type', types)} {_q(types)}"] if types else []
    data += [
        f"{field} may not be set"
        for field in ("user", "role")
        if any(one.get(field) for one in wrong)
    ]
    what = "set forbidden securityContext.seLinuxOptions"
    return f"seLinuxOptions ({' and '.join(setters)} {what}: {'; '.join(data)})"


def _seccomp_baseline(_metadata: Object, spec: Spec) -> str:
    setters, values = _profile_setters(spec, "seccompProfile")
    what = "must not set securityContext.seccompProfile.type to"
    return f"seccompProfile ({' and '.join(setters)} {what} {_q(values)})" if setters else ""


def _sysctls(_metadata: Object, spec: Spec) -> str:
    given = (spec.get("securityContext") or {}).get("sysctls") or ()
    bad = [sysctl["name"] for sysctl in given if sysctl["name"] not in _SYSCTLS]
    return f"forbidden sysctls ({', '.join(bad)})" if bad else ""


def _windows_host_process(_metadata: Object, spec: Spec) -> str:
    setters = _setters(
        spec, lambda context: bool((context.get("windowsOptions") or {}).get("hostProcess"))
    )
    what = "must not set securityContext.windowsOptions.hostProcess=true"
    return f"hostProcess ({' and '.join(setters)} {what})" if setters else ""


def _privilege_escalation(_metadata: Object, spec: Spec) -> str:
    names = [
        name
        for name, context in _contexts(spec)
        if context.get("allowPrivilegeEscalation") is not False
    ]
    if not names or _is_windows(spec):
        return ""
    detail = f"{_containers(names)} must set securityContext.allowPrivilegeEscalation=false"
    return f"allowPrivilegeEscalation != false ({detail})"


def _capabilities_restricted(_metadata: Object, spec: Spec) -> str:
    if _is_windows(spec):
        return ""
    details = []
    keeping = [
        name
        for name, context in _contexts(spec)
        if "ALL" not in ((context.get("capabilities") or {}).get("drop") or ())
    ]
    if keeping:
        must = 'must set securityContext.capabilities.drop=["ALL"]'
        details.append(f"{_containers(keeping)} {must}")
    adding, bad = _added_capabilities(spec, frozenset({"NET_BIND_SERVICE"}))
    if adding:
        what = f"must not include {_q(bad)} in securityContext.capabilities.add"
        details.append(f"{_containers(adding)} {what}")
    return f"unrestricted capabilities ({'; '.join(details)})" if details else ""


def _volume_types(_metadata: Object, spec: Spec) -> str:
    names: list[str] = []
    types: set[str] = set()
    for volume in spec.get("volumes") or ():
        kinds = set(volume) - {"name"}
        if not kinds & _VOLUMES:
            names.append(volume["name"])
            types |= kinds or {"unknown"}
    if not names:
        return ""
    uses = "uses" if len(names) == 1 else "use"
    what = _plural("restricted volume type", types)
    detail = f"{_plural('volume', names)} {_q(names)} {uses} {what} {_q(sorted(types))}"
    return f"restricted volume types ({detail})"


def _run_as_non_root(_metadata: Object, spec: Spec) -> str:
    if spec.get("hostUsers") is False:
        return ""
    setters = _setters(spec, lambda context: context.get("runAsNonRoot") is False)
    if setters:
        what = "must not set securityContext.runAsNonRoot=false"
        return f"runAsNonRoot != true ({' and '.join(setters)} {what})"
    if (spec.get("securityContext") or {}).get("runAsNonRoot"):
        return ""
    names = [name for name, context in _contexts(spec) if context.get("runAsNonRoot") is None]
    what = "must set securityContext.runAsNonRoot=true"
    return f"runAsNonRoot != true (pod or {_containers(names)} {what})" if names else ""


def _run_as_user(_metadata: Object, spec: Spec) -> str:
    if spec.get("hostUsers") is False:
        return ""
    setters = _setters(spec, lambda context: context.get("runAsUser") == 0)
    return f"runAsUser=0 ({' and '.join(setters)} must not set runAsUser=0)" if setters else ""


def _seccomp_restricted(metadata: Object, spec: Spec) -> str:
    if _is_windows(spec):
        return ""
    bad = _seccomp_baseline(metadata, spec)
    if bad or (spec.get("securityContext") or {}).get("seccompProfile"):
        return bad
    names = [name for name, context in _contexts(spec) if not context.get("seccompProfile")]
    what = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return f"seccompProfile (pod or {_containers(names)} {what})" if names else ""


# In upstream's order: baseline checks by id, then restricted ones, of which some replace a baseline
# check (capabilities, procMount, hostPath volumes, seccompProfile).
_CHECKS: Final[dict[str, tuple[Check, ...]]] = {
    "privileged": (),
    "baseline": (
        _app_armor,
        _capabilities_baseline,
        _host_namespaces,
        _host_path,
        _host_ports,
        _host_probes,
        _privileged,
        _proc_mount_baseline,
        _selinux,
        _seccomp_baseline,
        _sysctls,
        _windows_host_process,
    ),
    "restricted": (
        _app_armor,
        _host_namespaces,
        _host_ports,
        _host_probes,
        _privileged,
        _selinux,
        _sysctls,
        _windows_host_process,
        _privilege_escalation,
        _capabilities_restricted,
        _proc_mount,
        _volume_types,
        _run_as_non_root,
        _run_as_user,
        _seccomp_restricted,
    ),
}


def _all(spec: Spec) -> Iterator[Spec]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def _contexts(spec: Spec) -> Iterator[tuple[str, Spec]]:
    for container in _all(spec):
        yield container["name"], container.get("securityContext") or {}


def _setters(spec: Spec, is_bad: Callable[[Spec], bool]) -> list[str]:
    """Who sets something bad: `pod`, `containers "a", "b"`."""
    setters = ["pod"] if is_bad(spec.get("securityContext") or {}) else []
    names = [name for name, context in _contexts(spec) if is_bad(context)]
    return [*setters, _containers(names)] if names else setters


def _profile_setters(spec: Spec, field: str) -> tuple[list[str], list[str]]:
    """Who sets a profile that is not allowed, and which."""
    values: set[str] = set()

    def is_bad(context: Spec) -> bool:
        profile = context.get(field)
        if profile is None or profile.get("type") in _PROFILES:
            return False
        values.add(profile.get("type", ""))
        return True

    setters = _setters(spec, is_bad)
    return setters, sorted(values)


def _added_capabilities(spec: Spec, allowed: frozenset[str]) -> tuple[list[str], list[str]]:
    """The containers that add others than the allowed capabilities, and which."""
    names: list[str] = []
    bad: set[str] = set()
    for name, context in _contexts(spec):
        added = set((context.get("capabilities") or {}).get("add") or ()) - allowed
        if added:
            names.append(name)
            bad |= added
    return names, sorted(bad)


def _is_windows(spec: Spec) -> bool:
    return (spec.get("os") or {}).get("name") == "windows"


def _containers(names: Sequence[str]) -> str:
    return f"{_plural('container', names)} {_q(names)}"


def _plural(word: str, things: Sequence[str] | set[str]) -> str:
    return word if len(things) == 1 else f"{word}s"


def _q(items: Iterable[str]) -> str:
    return ", ".join(f'"{item}"' for item in items)
