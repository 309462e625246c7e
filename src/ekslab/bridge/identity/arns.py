"""ARNs of principals, in the form in which they are compared.

Rules of aws-iam-authenticator `pkg/arn/arn.go`: an assumed role stands for its role, without the
role's path, because STS never shows it.
"""

import re
from typing import Final

_PARTITIONS: Final = frozenset({"aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b"})
_NODE_SESSION: Final = re.compile(r"i-(\w{8}|\w{17})", re.ASCII)


class ArnError(ValueError):
    """No ARN of a principal."""


def canonical(arn: str) -> str:
    """`arn:aws:sts::1:assumed-role/R/S` -> `arn:aws:iam::1:role/R`; users, roles and root as they
    are.

    Raises:
        ArnError: the ARN is of something else.
    """
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or parts[1] not in _PARTITIONS:
        raise ArnError(f"arn {arn!r} is invalid")
    _, partition, service, _, account, resource = parts
    words = resource.split("/")
    if service == "sts" and words[0] == "assumed-role" and len(words) >= 3:
        role = "/".join(words[1:-1])
        return f"arn:{partition}:iam::{account}:role/{role}"
    if service == "sts" and words[0] == "federated-user":
        return arn
    if service == "iam" and words[0] in {"role", "user", "root"}:
        return arn
    raise ArnError(f"unrecognized resource {resource!r} in arn {arn!r}")


def without_path(arn: str) -> str:
    """`arn:aws:iam::1:role/a/b/R` -> `arn:aws:iam::1:role/R`."""
    words = arn.split("/")
    return arn if len(words) <= 2 else f"{words[0]}/{words[-1]}"


def is_instance_session(session_name: str) -> bool:
    """Whether a role session is that of an EC2 instance: its name is the instance's id."""
    return _NODE_SESSION.fullmatch(session_name) is not None
