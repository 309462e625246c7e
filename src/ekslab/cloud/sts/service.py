"""STS: `GetCallerIdentity`, `AssumeRole`, `GetSessionToken`, web identity.

Answers are XML, or JSON when the caller's `Accept` says `application/json`, as real STS does: the
aws-iam-authenticator reads the JSON form. Error texts are those of the AWS STS API.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any
from xml.sax.saxutils import escape

import orjson

from ekslab.cloud.gateway.faults import AwsFault
from ekslab.cloud.gateway.policies import Effect, Principal, Question, evaluate, evaluate_trust
from ekslab.cloud.gateway.sigv4 import header
from ekslab.cloud.identities import Caller, Identities, Role
from ekslab.cloud.ports import AwsRequest, AwsResponse
from ekslab.cloud.sessions import Session, Sessions
from ekslab.kit.clock import rfc3339

_DIGITS_MAX = 20
_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_ROLE_ARN = re.compile(r"arn:aws[\w-]*:iam::(\d{12}):role/(.+)")
_CHAINED_S_MAX = 3600
Answer = Mapping[str, Any]


class StsService:
    """The operations; each takes the form parameters and gives the result's members."""

    def __init__(self, identities: Identities, sessions: Sessions, *, account_id: str) -> None:
        self._identities = identities
        self._sessions = sessions
        self._account_id = account_id
        self._operations: Mapping[str, Callable[[Caller, Mapping[str, str], float], Answer]] = {
            "GetCallerIdentity": self._get_caller_identity,
            "AssumeRole": self._assume_role,
            "GetSessionToken": self._get_session_token,
            "GetAccessKeyInfo": self._get_access_key_info,
        }

    def call(
        self,
        request: AwsRequest,
        action: str,
        *,
        caller: Caller | None,
        parameters: Mapping[str, str],
        request_id: str,
        now_s: float,
    ) -> AwsResponse:
        """Answer one operation. `caller` is None for the calls that need no signature.

        Raises:
            AwsFault: the operation is unknown or refused.
        """
        if caller is None:
            raise _web_identity_fault(action, parameters)
        operation = self._operations.get(action)
        if operation is None:
            raise AwsFault(
                "InvalidAction", f"Could not find operation {action} for version 2011-06-15"
            )
        result = operation(caller, parameters, now_s)
        as_json = "application/json" in header(request.headers, "accept")
        return _render(action, result, request_id, as_json=as_json)

    def assume_for_service(
        self, role: Role, *, service: str, session_name: str, now_s: float, acts_as_service: bool
    ) -> Session:
        """Credentials of a role for a service its trust policy names, as EC2 gives to instances.

        Raises:
            AwsFault: the trust policy does not name the service.
        """
        trust = evaluate_trust(
            role.trust_policy, Principal(service=service), Question("sts:AssumeRole", None)
        )
        if trust is not Effect.ALLOW:
            raise AwsFault(
                "AccessDenied",
                f"{service} is not authorized to perform: sts:AssumeRole on resource: {role.arn}",
                status=403,
            )
        return self._issue(
            role,
            session_name,
            now_s + role.duration_s_max,
            now_s,
            service=service if acts_as_service else "",
        )

    def _get_caller_identity(
        self, caller: Caller, _parameters: Mapping[str, str], _now_s: float
    ) -> Answer:
        return {"Arn": caller.arn, "UserId": caller.user_id, "Account": caller.account}

    def _get_access_key_info(
        self, _caller: Caller, _parameters: Mapping[str, str], _now_s: float
    ) -> Answer:
        return {"Account": self._account_id}

    def _assume_role(self, caller: Caller, parameters: Mapping[str, str], now_s: float) -> Answer:
        arn = _required(parameters, "RoleArn", "roleArn")
        name = _required(parameters, "RoleSessionName", "roleSessionName")
        if not _SESSION_NAME.fullmatch(name):
            raise _validation(
                name, "roleSessionName", r"satisfy regular expression pattern: [\w+=,.@-]*"
            )
        if not _ROLE_ARN.fullmatch(arn):
            raise AwsFault("ValidationError", f"{arn} is invalid")
        role = self._identities.role(arn)
        if role is None or not self._may_assume(caller, role, parameters):
            raise AwsFault(
                "AccessDenied",
                f"User: {caller.arn} is not authorized to perform: sts:AssumeRole on resource: "
                f"{arn}",
                status=403,
            )
        duration_s = self._duration_s(parameters, role, chained=":assumed-role/" in caller.arn)
        session = self._issue(role, name, now_s + duration_s, now_s)
        return {
            "Credentials": _credentials(session),
            "AssumedRoleUser": {"AssumedRoleId": session.user_id, "Arn": session.arn},
        }

    def _may_assume(self, caller: Caller, role: Role, parameters: Mapping[str, str]) -> bool:
        """The trust policy must let the caller in. When it names only the caller's account, the
        caller's own policies must allow it too.
        """
        context = {
            "aws:principalarn": [caller.principal],
            "aws:principalaccount": [caller.account],
            "aws:userid": [caller.user_id],
        }
        if "ExternalId" in parameters:
            context["sts:externalid"] = [parameters["ExternalId"]]
        question = Question("sts:AssumeRole", role.arn, context)
        own = evaluate(self._identities.policies_of(caller.principal), question)
        if own is Effect.DENY:
            return False
        arns = (caller.arn, caller.principal)
        by_name = evaluate_trust(role.trust_policy, Principal(arns, "-"), question)
        if by_name is not Effect.NONE:
            return by_name is Effect.ALLOW
        trusted = evaluate_trust(role.trust_policy, Principal(arns, caller.account), question)
        return trusted is Effect.ALLOW and own is Effect.ALLOW

    def _duration_s(self, parameters: Mapping[str, str], role: Role, *, chained: bool) -> int:
        duration_s = _duration(parameters, default_s=3600, least_s=900, most_s=43_200)
        if duration_s > role.duration_s_max:
            raise AwsFault(
                "ValidationError",
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            )
        if chained and duration_s > _CHAINED_S_MAX:
            raise AwsFault(
                "ValidationError",
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed "
                "by role chaining.",
            )
        return duration_s

    def _issue(
        self, role: Role, session_name: str, expires_s: float, now_s: float, service: str = ""
    ) -> Session:
        return self._sessions.issue(
            account=self._account_id,
            arn=f"arn:aws:sts::{self._account_id}:assumed-role/{role.name}/{session_name}",
            user_id=f"{role.id}:{session_name}",
            principal=role.arn,
            principal_id=role.id,
            expires_s=expires_s,
            now_s=now_s,
            service=service,
        )

    def _get_session_token(
        self, caller: Caller, parameters: Mapping[str, str], now_s: float
    ) -> Answer:
        if ":assumed-role/" in caller.arn or caller.access_key_id.startswith("ASIA"):
            raise AwsFault(
                "AccessDenied", "Cannot call GetSessionToken with session credentials", status=403
            )
        duration_s = _duration(parameters, default_s=43_200, least_s=900, most_s=129_600)
        session = self._sessions.issue(
            account=caller.account,
            arn=caller.arn,
            user_id=caller.user_id,
            principal=caller.principal,
            principal_id=caller.principal_id,
            expires_s=now_s + duration_s,
            now_s=now_s,
        )
        return {"Credentials": _credentials(session)}


def _credentials(session: Session) -> Answer:
    return {
        "AccessKeyId": session.access_key_id,
        "SecretAccessKey": session.secret_access_key,
        "SessionToken": session.session_token,
        "Expiration": session.expires_s,
    }


def _required(parameters: Mapping[str, str], name: str, wire_name: str) -> str:
    value = parameters.get(name, "")
    if not value:
        raise AwsFault(
            "ValidationError",
            f"1 validation error detected: Value null at '{wire_name}' failed to satisfy "
            "constraint: Member must not be null",
        )
    return value


def _validation(value: Any, name: str, constraint: str) -> AwsFault:
    return AwsFault(
        "ValidationError",
        f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: "
        f"Member must {constraint}",
    )


def _duration(parameters: Mapping[str, str], *, default_s: int, least_s: int, most_s: int) -> int:
    text = parameters.get("DurationSeconds", str(default_s))
    if not text.isdecimal() or len(text) > _DIGITS_MAX:
        raise AwsFault("MalformedInput", "DurationSeconds is no number.")
    duration_s = int(text)
    if duration_s < least_s:
        raise _validation(
            duration_s, "durationSeconds", f"have value greater than or equal to {least_s}"
        )
    if duration_s > most_s:
        raise _validation(
            duration_s, "durationSeconds", f"have value less than or equal to {most_s}"
        )
    return duration_s


def _web_identity_fault(action: str, parameters: Mapping[str, str]) -> AwsFault:
    """No identity provider is trusted by the lab yet: every token is of an unknown one."""
    if action == "AssumeRoleWithWebIdentity":
        for name in ("RoleArn", "RoleSessionName", "WebIdentityToken"):
            _required(parameters, name, name[0].lower() + name[1:])
        return AwsFault(
            "InvalidIdentityToken",
            "No OpenIDConnect provider found in your account for the issuer of the token",
        )
    return AwsFault("InvalidIdentityToken", f"{action} is not available in this lab")


def _render(action: str, result: Answer, request_id: str, *, as_json: bool) -> AwsResponse:
    if as_json:
        body = {
            f"{action}Response": {
                f"{action}Result": result,
                "ResponseMetadata": {"RequestId": request_id},
            }
        }
        return AwsResponse(
            200,
            (("Content-Type", "application/json"), ("x-amzn-RequestId", request_id)),
            orjson.dumps(body),
        )
    text = (
        f'<{action}Response xmlns="{_NAMESPACE}"><{action}Result>{_xml(result)}</{action}Result>'
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
        f"</{action}Response>"
    )
    return AwsResponse(
        200, (("Content-Type", "text/xml"), ("x-amzn-RequestId", request_id)), text.encode()
    )


def _xml(members: Answer) -> str:
    parts = []
    for name, value in members.items():
        if isinstance(value, Mapping):
            inner = _xml(value)
        elif name == "Expiration":
            inner = rfc3339(value)
        else:
            inner = escape(str(value))
        parts.append(f"<{name}>{inner}</{name}>")
    return "".join(parts)
