"""Pages of lists: tokens that say where the next page begins, good for one operation alone."""

import base64

import orjson


def token_at(offset: int, *, action: str) -> str:
    """The token of the page that begins at `offset`."""
    return base64.urlsafe_b64encode(orjson.dumps([action, offset])).decode()


def offset_of(token: str, *, action: str) -> int | None:
    """Where the token's page begins; None if the token is none of this operation's.

    >>> offset_of(token_at(5, action="ListClusters"), action="ListClusters")
    5
    """
    try:
        decoded = orjson.loads(base64.urlsafe_b64decode(token))
    except ValueError:
        return None
    match decoded:
        case [str(made_for), int(offset)] if made_for == action and offset >= 0:
            return offset
        case _:
            return None
