"""Credentials of a caller. A module of its own, and a plain class: `ekslab token` imports it."""


class Keys:
    """An access key with its secret; `session_token` is empty for long-lived keys."""

    __slots__ = ("access_key_id", "secret_access_key", "session_token")

    def __init__(self, access_key_id: str, secret_access_key: str, session_token: str = "") -> None:
        self.access_key_id = access_key_id
        self.secret_access_key = secret_access_key
        self.session_token = session_token
