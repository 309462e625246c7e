"""What is mounted in a container, and the files a kubelet writes itself.

Upstream: `pkg/kubelet/kubelet_pods.go` (hosts file), `pkg/kubelet/network/dns`,
`pkg/volume/util/atomic_writer.go` (the links of a ConfigMap's directory), `pkg/volume/projected`.

ConfigMaps, Secrets and downward API are read anew whenever somebody looks, and cannot be changed;
every other volume is a directory that lives as long as the pod.
"""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from ekslab.kit.clock import Clock, parse_rfc3339
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.ports import Client
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS, SERVICES
from ekslab.kube.node.simulated.machine import PodRun
from ekslab.kube.node.simulated.shell.environment import (
    address_of,
    bytes_of,
    field_of,
    host_name,
    resource_of,
)
from ekslab.kube.node.simulated.shell.files import Directory, Entry, File, Files, Link, Room

_DOMAIN: Final = "cluster.local"
_HOSTS: Final = (
    "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\n"
    "fe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
)
_ACCOUNTS: Final = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
_DIRECTORIES: Final = ("bin", "dev", "etc", "home", "proc", "root", "sys", "usr/bin", "var/log")
_TOKEN_S: Final = 3607
_RENEW: Final = 0.8


@dataclass(slots=True)
class Kept:
    """What a pod keeps between commands: files of its containers, volumes, tokens."""

    room: Room = field(default_factory=Room)
    roots: dict[str, tuple[str, Directory]] = field(default_factory=dict)
    volumes: dict[str, Directory] = field(default_factory=dict)
    tokens: dict[str, tuple[str, float]] = field(default_factory=dict)

    def root(self, name: str, container_id: str, at_s: float) -> Directory:
        """The root of a container; one that began anew has lost what the one before it wrote."""
        known = self.roots.get(name)
        if known is not None:
            if known[0] == container_id:
                return known[1]
            self.room.give_back(known[1])
        root = _root(at_s)
        self.roots[name] = (container_id, root)
        self.room.take(0, entries=root.count)
        return root


async def files_of(run: PodRun, box: Object, client: Client, clock: Clock) -> Files:
    """The files a container sees now."""
    kept = run.kept
    if not isinstance(kept, Kept):
        kept = run.kept = Kept()
    names = [one.name for one in run.plan.containers]
    is_now = run.state.containers[names.index(box["name"])]
    root = kept.root(box["name"], is_now.container_id, is_now.started_s)
    volumes = {one["name"]: one for one in run.item.object["spec"].get("volumes") or ()}
    mounts: dict[str, Entry] = {}
    reading = _Volumes(run, box, client, clock, kept)
    for path, text in (await _own_files(run, client)).items():
        mounts[path] = File(text.encode(), at_s=is_now.started_s)
    for mount in box.get("volumeMounts") or ():
        volume = volumes.get(mount["name"])
        if volume is not None:
            entry = await reading.volume(volume)
            below = mount.get("subPath", "")
            mounts[posixpath.normpath(mount["mountPath"])] = _below(entry, below)
    return Files(root, mounts, kept.room)


def _root(at_s: float) -> Directory:
    root = Directory(at_s=at_s)
    for path in _DIRECTORIES:
        root.put(path, Directory(at_s=at_s))
    root.put("tmp", Directory(mode=0o1777, at_s=at_s))
    root.put("etc/passwd", File(_ACCOUNTS.encode(), at_s=at_s))
    return root


def _below(entry: Directory, path: str) -> Entry:
    """What a subPath names in a volume; a directory is made where nothing is."""
    here: Entry = entry
    for part in (part for part in path.split("/") if part):
        if not isinstance(here, Directory):
            break
        if part not in here.entries and not here.read_only:
            here.entries[part] = Directory(at_s=here.at_s)
        found = here.entries.get(part, Directory(read_only=True))
        if isinstance(found, Link):
            found = _below(entry, found.target)
        here = found
    return here


async def _own_files(run: PodRun, client: Client) -> dict[str, str]:
    """What a kubelet writes into every container."""
    pod = run.item.object
    spec, name, address = pod["spec"], host_name(pod), address_of(run)
    full = name
    if spec.get("subdomain"):
        space = pod["metadata"]["namespace"]
        full = f"{name}.{spec['subdomain']}.{space}.svc.{_DOMAIN}\t{name}"
    hosts = _HOSTS + f"{address}\t{full}\n"
    aliases = spec.get("hostAliases") or ()
    if aliases:
        lines = ["\t".join([one["ip"], *(one.get("hostnames") or ())]) for one in aliases]
        hosts += "\n# Entries added by HostAliases.\n" + "\n".join(lines) + "\n"
    return {
        "/etc/hostname": f"{name}\n",
        "/etc/hosts": hosts,
        "/etc/resolv.conf": await _resolver(pod, client),
    }


async def _resolver(pod: Object, client: Client) -> str:
    spec, space = pod["spec"], pod["metadata"]["namespace"]
    policy = spec.get("dnsPolicy", "ClusterFirst")
    searches, servers, options = [], [], []
    if policy == "ClusterFirstWithHostNet" or (
        policy == "ClusterFirst" and not spec.get("hostNetwork")
    ):
        searches = [f"{space}.svc.{_DOMAIN}", f"svc.{_DOMAIN}", _DOMAIN]
        servers = [await _dns_address(client)]
        options = ["ndots:5"]
    elif policy != "None":
        servers = ["169.254.169.253"]  # the VPC's own
    more = spec.get("dnsConfig") or {}
    servers = list(dict.fromkeys([*servers, *(more.get("nameservers") or ())]))
    searches = list(dict.fromkeys([*searches, *(more.get("searches") or ())]))
    own = {one["name"]: one.get("value") for one in more.get("options") or ()}
    options = [one for one in options if one.partition(":")[0] not in own]
    options += [name if value is None else f"{name}:{value}" for name, value in own.items()]
    lines = [f"search {' '.join(searches)}\n"] if searches else []
    lines += [f"nameserver {one}\n" for one in servers]
    lines += [f"options {' '.join(options)}\n"] if options else []
    return "".join(lines)


async def _dns_address(client: Client) -> str:
    """The cluster's DNS Service; where there is none, where EKS puts it."""
    for name, space in (("kube-dns", "kube-system"), ("kubernetes", "default")):
        try:
            address = str((await client.get(SERVICES, name, space))["spec"]["clusterIP"])
        except ApiError:
            continue
        return address if name == "kube-dns" else f"{address.rpartition('.')[0]}.10"
    return "10.100.0.10"


@dataclass(frozen=True, slots=True)
class _Volumes:
    """Reads the volumes of a pod."""

    run: PodRun
    box: Object
    client: Client
    clock: Clock
    kept: Kept

    async def volume(self, volume: Object) -> Directory:
        """The directory of a volume."""
        contents = await self._contents(volume)
        if contents is None:
            return self.kept.volumes.setdefault(
                volume["name"], Directory(mode=0o1777, at_s=self.run.state.begun_s)
            )
        return _written_atomically(contents, self.run.state.begun_s)

    async def _contents(self, volume: Object) -> dict[str, bytes] | None:
        """The files of a volume that holds what the API says; None for any other."""
        if "configMap" in volume:
            source = volume["configMap"]
            return await self._data(CONFIG_MAPS, source.get("name", ""), source)
        if "secret" in volume:
            source = volume["secret"]
            return await self._data(SECRETS, source.get("secretName", ""), source)
        if "downwardAPI" in volume:
            return self._downward(volume["downwardAPI"])
        if "projected" in volume:
            found: dict[str, bytes] = {}
            for source in volume["projected"].get("sources") or ():
                found |= await self._projected(source)
            return found
        return None

    async def _projected(self, source: Object) -> dict[str, bytes]:
        if "serviceAccountToken" in source:
            wanted = source["serviceAccountToken"]
            return {wanted["path"]: (await self._token(wanted)).encode()}
        if "secret" in source:
            return await self._data(SECRETS, source["secret"].get("name", ""), source["secret"])
        return await self._contents(source) or {}

    async def _data(self, resource: object, name: str, source: Object) -> dict[str, bytes]:
        assert resource in {CONFIG_MAPS, SECRETS}, resource
        kind = SECRETS if resource == SECRETS else CONFIG_MAPS
        namespace = self.run.plan.namespace
        values = await bytes_of(self.client, kind, name, namespace)
        items = source.get("items")
        if items is None:
            return values
        return {one["path"]: values[one["key"]] for one in items if one["key"] in values}

    def _downward(self, source: Object) -> dict[str, bytes]:
        found = {}
        for item in source.get("items") or ():
            if "fieldRef" in item:
                text = field_of(self.run, item["fieldRef"].get("fieldPath", ""))
            else:
                text = resource_of(self.run, self.box, item.get("resourceFieldRef") or {})
            found[item["path"]] = text.encode()
        return found

    async def _token(self, wanted: Object) -> str:
        """A token of the pod's service account; asked for again when most of its time is over."""
        audience = wanted.get("audience", "")
        known = self.kept.tokens.get(audience)
        now_s = self.clock.now()
        if known is not None and now_s < known[1]:
            return known[0]
        pod = self.run.item.object
        spec: Object = {
            "expirationSeconds": int(wanted.get("expirationSeconds") or _TOKEN_S),
            "boundObjectRef": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": self.run.plan.name,
                "uid": self.run.uid,
            },
            "audiences": [audience] if audience else [],
        }
        body = {"metadata": {"namespace": self.run.plan.namespace}, "spec": spec}
        account = pod["spec"].get("serviceAccountName") or "default"
        try:
            answer = await self.client.create(
                SERVICE_ACCOUNTS, body, subresource="token", name=account
            )
        except ApiError:
            return ""
        token, until = answer["status"]["token"], answer["status"]["expirationTimestamp"]
        until_s = now_s + _RENEW * (parse_rfc3339(until) - now_s)
        self.kept.tokens[audience] = (str(token), until_s)
        return str(token)


def _written_atomically(contents: Mapping[str, bytes], at_s: float) -> Directory:
    """Files behind `..data`, a link to a directory with a date, so that all change at once."""
    stamp = datetime.fromtimestamp(at_s, UTC).strftime("..%Y_%m_%d_%H_%M_%S.000000000")
    volume = Directory(mode=0o1777, at_s=at_s, read_only=True)
    volume.put(stamp, Directory(at_s=at_s, read_only=True))
    volume.put("..data", Link(stamp, at_s=at_s))
    for path, content in contents.items():
        volume.put(f"{stamp}/{path}", File(content, at_s=at_s))
        first = path.partition("/")[0]
        volume.put(first, Link(f"..data/{first}", at_s=at_s))
    return volume
