"""What the AWS plane offers to whoever gives its objects an effect, and what it needs from them.

Both directions cross a process border in the daemon (a local socket that only the user can open)
and are plain calls in one-loop mode.

**Change feed** (cloud -> bridge): a snapshot, then ordered changes, resumable by position.
**Reports** (bridge -> cloud): what became of control planes, node groups and instances; the things
that on AWS the EKS service knows because it runs them.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Change:
    """One object of the account as it is now, or its end.

    Attributes:
        position: where in the feed this change stands; resume behind it.
        kind: `eks:cluster`, `eks:nodegroup`, `eks:access-entry`, `ec2:instance`, `ec2:subnet`,
            `ec2:network-interface`, `autoscaling:group`, `iam:role`, `iam:user`, ...
        id: unique within kind and account (an ARN, an instance id, `cluster/nodegroup`).
        value: the object in the wire form of the AWS API (`describe_*`), None once it is gone.
    """

    position: int
    kind: str
    id: str
    value: Mapping[str, Any] | None


class ChangeFeed(Protocol):
    """All objects, then all changes of them."""

    def follow(self, *, after: int = 0) -> AsyncIterator[Sequence[Change]]:
        """Batches of changes behind `after`, in order. With `after` 0, or one that is no longer
        kept, the first batches are a snapshot that opens with `kind="reset"` and closes with
        `kind="synced"`; whoever resumes with a kept position gets a `synced` first.
        """


@dataclass(frozen=True, slots=True)
class ControlPlaneReport:
    """What became of a control plane: `status` ACTIVE, FAILED or DELETED."""

    account: str
    region: str
    cluster: str
    status: str
    endpoint: str = ""
    certificate_authority_pem: str = ""
    oidc_issuer: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class NodegroupReport:
    """How a node group does: `status` ACTIVE, CREATE_FAILED, DEGRADED, DELETED, ...; `issues` in
    the wire form of `health.issues`.
    """

    account: str
    region: str
    cluster: str
    nodegroup: str
    status: str
    autoscaling_groups: Sequence[str] = ()
    issues: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


class Reports(Protocol):
    """Where the bridge says what became of things. Idempotent; durable before it returns."""

    async def control_plane(self, report: ControlPlaneReport) -> None:
        """Set a cluster's state."""

    async def nodegroup(self, report: NodegroupReport) -> None:
        """Set a node group's state."""


@dataclass(frozen=True, slots=True)
class AwsRequest:
    """One HTTP request to the AWS endpoint, as it came."""

    method: str
    raw_path: str
    query: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    tls: bool = False


@dataclass(frozen=True, slots=True)
class AwsResponse:
    """The answer."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


class Endpoint(Protocol):
    """The AWS endpoint as a function: verify, authorize, route, journal, answer."""

    async def handle(self, request: AwsRequest) -> AwsResponse:
        """Answer one request. Never raises."""
