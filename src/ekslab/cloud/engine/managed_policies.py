"""AWS's own IAM policies, read once per process.

moto parses its table of 1,485 policies anew for every account (0.1 s). The policies never change,
so accounts share their documents; only who has attached them is an account's own.
"""

import copy
from typing import Any

from ekslab.cloud.engine import determinism


def install() -> None:
    """Let every account's IAM start from one parsed table. Idempotent."""
    from moto.iam import models

    backend: Any = models.IAMBackend
    if not hasattr(backend, "_ekslab_read_policies"):
        backend._ekslab_read_policies = backend._init_aws_policies  # noqa: SLF001 - moto's own hook
        backend._init_aws_policies = _Policies()  # noqa: SLF001 - moto's own hook


class _Policies:
    """Takes the place of a method: a descriptor that gives each account its copies."""

    def __init__(self) -> None:
        self._read: list[Any] = []

    def __get__(self, backend: Any, owner: type | None = None) -> Any:
        return lambda: self._copies(backend)

    def _copies(self, backend: Any) -> list[Any]:
        if not self._read:
            # Their ids are drawn while they are read: the same in every process.
            with determinism.seeded("iam:aws-policies", now_s=None):
                self._read = backend._ekslab_read_policies()  # noqa: SLF001 - moto's own hook
        copies = [copy.copy(policy) for policy in self._read]
        for policy in copies:
            policy.account_id = backend.account_id
        return copies
