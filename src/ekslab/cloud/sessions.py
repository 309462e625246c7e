"""Temporary credentials: made with real secrets, kept with their end, refused after it.

Ids have AWS's shapes: `ASIA` and 16 characters for keys, 40 for the secret, and a long token.
Expiry is on the wall clock, because clients compare it with theirs.
"""

import base64
import string
from dataclasses import asdict, dataclass

from ekslab.cloud.keys import Keys
from ekslab.cloud.records import Records
from ekslab.kit.rng import secret_bytes

KIND = "sts:session"
_KEY_ALPHABET = string.ascii_uppercase + "234567"
# Expired sessions are kept a while, so that their users read "expired" and not "invalid".
_KEPT_AFTER_EXPIRY_S = 3600.0
_SESSIONS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Session:
    """Whom temporary credentials stand for.

    Attributes:
        arn: `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`, or the user's own ARN.
        user_id: `AROA...:SESSION`, or the user's id.
        principal: the IAM ARN whose policies apply.
        principal_id: its unique id: a session dies with the role or user that it came from.
        service: the AWS service that this session acts for; empty for people's sessions.
    """

    access_key_id: str
    secret_access_key: str
    session_token: str
    expires_s: float
    account: str
    arn: str
    user_id: str
    principal: str
    principal_id: str
    service: str = ""

    @property
    def keys(self) -> Keys:
        """The three parts a client signs with."""
        return Keys(self.access_key_id, self.secret_access_key, self.session_token)


class Sessions:
    """All temporary credentials of the lab."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def issue(
        self,
        *,
        account: str,
        arn: str,
        user_id: str,
        principal: str,
        principal_id: str,
        expires_s: float,
        now_s: float,
        service: str = "",
    ) -> Session:
        """Make new credentials that end at `expires_s` of the wall clock."""
        self._forget_old(now_s)
        session = Session(
            access_key_id="ASIA" + _text(_KEY_ALPHABET, 16),
            secret_access_key=base64.b64encode(secret_bytes(30)).decode(),
            session_token="IQoJb3JpZ2luX2VjE" + base64.b64encode(secret_bytes(240)).decode(),
            expires_s=expires_s,
            account=account,
            arn=arn,
            user_id=user_id,
            principal=principal,
            principal_id=principal_id,
            service=service,
        )
        self._records.put(KIND, session.access_key_id, asdict(session))
        return session

    def find(self, access_key_id: str) -> Session | None:
        """The session of a key, expired or not."""
        record = self._records.get(KIND, access_key_id)
        return None if record is None else Session(**record)

    def _forget_old(self, now_s: float) -> None:
        ends = [(record["expires_s"], key) for key, record in self._records.under(KIND)]
        ends.sort()
        overflow = max(0, len(ends) + 1 - _SESSIONS_MAX)
        for index, (end_s, key) in enumerate(ends):
            if index >= overflow and end_s + _KEPT_AFTER_EXPIRY_S > now_s:
                break
            self._records.delete(KIND, key)


def _text(alphabet: str, length: int) -> str:
    return "".join(alphabet[byte % len(alphabet)] for byte in secret_bytes(length))
