"""Who STS says the caller is."""

from dataclasses import dataclass
from typing import Any, Self

from ekslab.bridge.identity import arns
from ekslab.bridge.identity.token import TokenError


@dataclass(frozen=True, slots=True)
class Caller:
    """The answer of `GetCallerIdentity`, taken apart.

    `user_id` is the principal's unique id (`AIDA...`, or for a role session its `AROA...` part);
    `session_name` is empty for users.
    """

    account: str
    arn: str
    canonical_arn: str
    user_id: str
    session_name: str
    access_key_id: str


def read(answer: dict[str, Any], *, access_key_id: str) -> Caller:
    """Read the JSON form of the answer.

    Raises:
        TokenError: it has not the expected shape.
    """
    try:
        result = answer["GetCallerIdentityResponse"]["GetCallerIdentityResult"]
        caller = _Identity(result["Account"], result["Arn"], result["UserId"])
        canonical = arns.canonical(caller.arn)
    except (KeyError, TypeError, arns.ArnError) as error:
        raise TokenError(f"unexpected answer of STS: {error}") from error
    user_id, session_name = caller.split_user_id()
    return Caller(caller.account, caller.arn, canonical, user_id, session_name, access_key_id)


@dataclass(frozen=True, slots=True)
class _Identity:
    account: str
    arn: str
    user_id: str

    def split_user_id(self: Self) -> tuple[str, str]:
        if ":assumed-role/" not in self.arn:
            return self.user_id, ""
        words = self.user_id.split(":")
        if len(words) != 2:
            raise TokenError(f"malformed UserID {self.user_id!r}")
        return words[0], words[1]
