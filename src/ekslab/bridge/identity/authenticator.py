"""The authenticator of a cluster's API server for IAM tokens (port `Authenticator` of kube).

Token -> checks -> STS at our endpoint verifies the signature -> caller -> access entry or
`aws-auth` -> user. What goes wrong is logged here and is a bare 401 for the client.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ekslab.bridge.identity import caller as callers
from ekslab.bridge.identity import mapping, token
from ekslab.bridge.identity.caller import Caller
from ekslab.bridge.identity.token import TokenError
from ekslab.cloud.login_token import CLUSTER_HEADER, PREFIX
from ekslab.cloud.ports import AwsRequest, Endpoint
from ekslab.kit import logs
from ekslab.kit.clock import Clock, WallClock
from ekslab.kube.api import errors
from ekslab.kube.api.ports import Credentials
from ekslab.kube.api.requests import UserInfo

_PASSING: Final = frozenset({429, 500, 502, 503, 504})
_PAUSES_S: Final = (0.1, 0.4, 1.0)  # a cloud process that was killed is back in about a second


@dataclass(frozen=True, slots=True)
class Mappings:
    """Where a cluster's mappings come from. Each is asked anew for every token.

    Attributes:
        mode: `accessConfig.authenticationMode` of the cluster.
        access_entries: the cluster's access entries, in the wire form of the EKS API.
        aws_auth: data of the ConfigMap kube-system/aws-auth, None if there is none.
        creator: in CONFIG_MAP mode the cluster's creator (canonical ARN), who is admin without a
            line in the ConfigMap; None otherwise.
        private_dns_name: EC2's private DNS name of an instance id.
    """

    mode: Callable[[], str]
    access_entries: Callable[[], Iterable[Mapping[str, Any]]]
    aws_auth: Callable[[], Mapping[str, str] | None]
    creator: Callable[[], str | None]
    private_dns_name: Callable[[str], str | None]


class IamAuthenticator:
    """Authenticates presigned STS tokens for one cluster."""

    def __init__(
        self,
        *,
        cluster: str,
        endpoint: Endpoint,
        mappings: Mappings,
        clock: Clock,
        wall_clock: WallClock,
        lab_hosts: Collection[str] = (),
    ) -> None:
        """`clock` paces the tries while STS cannot be reached; `wall_clock` dates tokens."""
        self._cluster = cluster
        self._endpoint = endpoint
        self._mappings = mappings
        self._clock = clock
        self._wall_clock = wall_clock
        self._lab_hosts = lab_hosts
        self._log = logs.get("iam-authenticator").bind(cluster=cluster)

    async def authenticate(self, credentials: Credentials) -> UserInfo | None:
        """The user behind an IAM token; None if the token is of another kind.

        Raises:
            ApiError: 401.
        """
        if not credentials.bearer_token.startswith(PREFIX):
            return None
        try:
            caller = await self._caller(credentials.bearer_token)
            return self._user(caller)
        except (TokenError, mapping.MappingError) as error:
            self._log.info("access denied", reason=str(error))
            raise errors.unauthorized() from error

    async def _caller(self, bearer_token: str) -> Caller:
        presigned = token.parse(bearer_token, now=self._wall_clock.now(), lab_hosts=self._lab_hosts)
        request = AwsRequest(
            method="GET",
            raw_path="/",
            query=presigned.query,
            headers=(
                ("host", presigned.host),
                ("accept", "application/json"),
                (CLUSTER_HEADER, self._cluster),
            ),
            body=b"",
        )
        answer = await self._endpoint.handle(request)
        for pause_s in _PAUSES_S:
            if answer.status not in _PASSING:
                break
            await self._clock.sleep(pause_s)
            answer = await self._endpoint.handle(request)
        if answer.status != 200:
            raise TokenError(f"STS answered {answer.status}")
        try:
            decoded = json.loads(answer.body)
        except ValueError as error:
            raise TokenError("unreadable answer of STS") from error
        return callers.read(decoded, access_key_id=presigned.access_key_id)

    def _user(self, caller: Caller) -> UserInfo:
        mode = self._mappings.mode()
        mapped = None
        if "API" in mode:
            mapped = mapping.from_access_entries(caller, self._mappings.access_entries())
        if mapped is None and "CONFIG_MAP" in mode:
            if caller.canonical_arn == self._mappings.creator():
                mapped = mapping.MappedUser("kubernetes-admin", ("system:masters",))
            else:
                mapped = mapping.from_config_map(caller, self._mappings.aws_auth() or {})
        if mapped is None:
            raise mapping.MappingError(f"no mapping for {caller.canonical_arn}")
        return mapping.render(mapped, caller, self._mappings.private_dns_name)
