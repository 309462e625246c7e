"""What the EKS operations share: the records, ids, clocks, and the names of things.

Keys of records: `ACCOUNT/REGION/CLUSTER[/CHILD]`. A record holds `wire`, the object as the API
shows it, and `own`, what EKS knows beside.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from ekslab.cloud.calls import Calls
from ekslab.cloud.eks.faults import (
    cluster_not_found,
    invalid_parameter,
    nodegroup_not_found,
)
from ekslab.cloud.engine.engine import Engine
from ekslab.cloud.identities import Caller, Identities
from ekslab.cloud.paging import offset_of, token_at
from ekslab.cloud.records import Record, Records
from ekslab.kit.clock import Clock
from ekslab.kit.ids import Ids

CLUSTER = "eks:cluster"
NODEGROUP = "eks:nodegroup"
ACCESS_ENTRY = "eks:access-entry"
UPDATE = "eks:update"
TOKEN = "eks:token"  # noqa: S105 - the kind of record of a client request token
_PAGE_MAX = 100
_TOKENS_MAX = 1000
Wire = dict[str, Any]


@dataclass(frozen=True, slots=True)
class EksState:
    """State and surroundings of the service, for one region of the account."""

    records: Records
    identities: Identities
    engine: Engine
    calls: Calls
    clock: Clock
    ids: Ids
    account: str
    region: str
    versions: Sequence[str]
    default_version: str

    def in_region(self, region: str) -> "EksState":
        """The same service in another region."""
        return self if region == self.region else replace(self, region=region)

    def key(self, *parts: str) -> str:
        """The key of a record of this account and region."""
        return "/".join((self.account, self.region, *parts))

    def now(self) -> float:
        """The time as EKS tells it: seconds since the epoch, to the millisecond."""
        return round(self.clock.now(), 3)

    def arn(self, rest: str) -> str:
        """An EKS ARN of this account and region."""
        return f"arn:aws:eks:{self.region}:{self.account}:{rest}"

    @property
    def ec2(self) -> Any:
        """Moto's EC2 of this region, to look things up."""
        return self.engine.backend("ec2", self.region)

    def cluster(self, name: str) -> Record:
        """A cluster's record.

        Raises:
            AwsFault: ResourceNotFoundException.
        """
        found = self.records.get(CLUSTER, self.key(name))
        if found is None:
            raise cluster_not_found(name)
        return found

    def nodegroup(self, cluster: str, name: str) -> Record:
        """A node group's record.

        Raises:
            AwsFault: ResourceNotFoundException, for the cluster or the group.
        """
        self.cluster(cluster)
        found = self.records.get(NODEGROUP, self.key(cluster, name))
        if found is None:
            raise nodegroup_not_found(cluster, name)
        return found

    def children(self, kind: str, cluster: str) -> Iterator[tuple[str, Record]]:
        """Records of a kind that belong to a cluster: their last name, and they."""
        prefix = self.key(cluster) + "/"
        for key, record in self.records.under(kind, prefix):
            yield key.removeprefix(prefix), record

    def change(self, kind: str, key: str, record: Record, **wire: Any) -> Record:
        """Set members of a record's wire object; the new record."""
        new = {**record, "wire": {**record["wire"], **wire}}
        self.records.put(kind, key, new)
        return new


@dataclass(frozen=True, slots=True)
class Asked:
    """One call of an operation."""

    state: EksState
    action: str
    params: Mapping[str, Any]
    caller: Caller


def page(asked: Asked, names: Sequence[Any], member: str) -> Wire:
    """One page of a list: `maxResults` items, and `nextToken` when there are more.

    Raises:
        AwsFault: the token is none of ours.
    """
    size = int(asked.params.get("maxResults") or _PAGE_MAX)
    start = _token_offset(asked.params.get("nextToken"), asked.action)
    end = start + size
    answer: Wire = {member: list(names[start:end])}
    if end < len(names):
        answer["nextToken"] = token_at(end, action=asked.action)
    return answer


def _token_offset(token: str | None, action: str) -> int:
    if not token:
        return 0
    offset = offset_of(token, action=action)
    if offset is None:
        raise invalid_parameter("Invalid nextToken")
    return offset


def once(asked: Asked, key: str, make: Callable[[], Wire]) -> Wire:
    """Make it, or, for a repeated `clientRequestToken`, answer as the first time.

    Raises:
        AwsFault: the token was used with other parameters.
    """
    token = asked.params.get("clientRequestToken")
    if not token:
        return make()
    state = asked.state
    token_key = state.key(asked.action, str(token))
    fingerprint = orjson.dumps(dict(asked.params), option=orjson.OPT_SORT_KEYS).decode()
    before = state.records.get(TOKEN, token_key)
    if before is not None:
        if before["params"] != fingerprint:
            raise invalid_parameter(
                f"The clientRequestToken {token} was used with different parameters"
            )
        answer: Wire = dict(before["answer"])
        return answer
    answer = make()
    _forget_tokens(state)
    state.records.put(
        TOKEN,
        token_key,
        {"params": fingerprint, "answer": answer, "key": key, "at": state.clock.now()},
    )
    return answer


def _forget_tokens(state: EksState) -> None:
    tokens = list(state.records.under(TOKEN))
    if len(tokens) >= _TOKENS_MAX:
        oldest = min(tokens, key=lambda entry: float(entry[1]["at"]))
        state.records.delete(TOKEN, oldest[0])


def forget_tokens_of(state: EksState, key: str) -> None:
    """A deleted object's tokens are free again."""
    for token_key, record in list(state.records.under(TOKEN)):
        if record["key"] == key:
            state.records.delete(TOKEN, token_key)
