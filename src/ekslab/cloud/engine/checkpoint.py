"""All of moto's state of one account as bytes, and back.

Pickle, with three helps: functions defined inside functions (moto's `defaultdict(lambda: ...)`)
are kept as code; kinds of `defaultdict` with constructors of their own are made without them; IAM's
1,485 AWS-managed policies are kept by name, because the table is moto's own.
A checkpoint belongs to one version of Python and moto; the journal refuses another's.
"""

import importlib
import io
import marshal
import pickle
import platform
import types
from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# Its state is derived from other services or from the process; nothing durable is in it.
_LEFT_OUT = frozenset({"moto_api", "instance_metadata", "sts"})


def version() -> str:
    """What a checkpoint and a journal belong to."""
    import moto

    return f"python-{platform.python_version()}-moto-{moto.__version__}"


def dump(account_id: str) -> bytes:
    """Every backend of the account, in one pickle, so that references between them stay."""
    state: dict[str, dict[str, Any]] = {}
    for backends in {id(found): found for found in _touched()}.values():
        if backends.service_name not in _LEFT_OUT and account_id in backends:
            regions = dict.items(dict.__getitem__(backends, account_id))
            state[backends.service_name] = dict(regions)
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=5).dump(state)
    return buffer.getvalue()


def load(account_id: str, data: bytes) -> None:
    """Put the account's backends back in place of whatever moto holds for it."""
    from moto.backends import get_backend

    forget(account_id)
    state: Mapping[str, Mapping[str, Any]] = _Unpickler(io.BytesIO(data), account_id).load()
    for service, regions in state.items():
        account = get_backend(service)[account_id]  # type: ignore[call-overload]
        for region, backend in regions.items():
            dict.__setitem__(account, region, backend)
            if service == "s3":
                names = _bucket_owners()
                names.update(dict.fromkeys(backend.buckets, (region, account_id)))


def forget(account_id: str) -> None:
    """Drop everything moto holds for the account."""
    for backends in _touched():
        dict.pop(backends, account_id, None)
    names = _bucket_owners()
    for name in [name for name, (_, owner) in names.items() if owner == account_id]:
        del names[name]


def _touched() -> list[Any]:
    """Every service's backends that hold anything, some more than once."""
    from moto.core import base_backend

    registry: Any = base_backend.BackendDict
    return list(registry._instances)  # noqa: SLF001 - moto has no other list


def _bucket_owners() -> dict[str, tuple[str, str]]:
    """S3's table of whose every bucket is; names are shared by all accounts."""
    from moto.s3.models import s3_backends

    owners: dict[str, tuple[str, str]] = s3_backends.bucket_accounts
    return owners


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        kind = type(obj)
        if kind.__name__ == "AWSManagedPolicy" and kind.__module__ == "moto.iam.models":
            return ("aws-policy", obj.arn, obj.attachment_count)
        return None

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, types.FunctionType) and "<locals>" in obj.__qualname__:
            if obj.__closure__:
                raise pickle.PicklingError(f"{obj.__qualname__} closes over variables")
            code = marshal.dumps(obj.__code__)
            return _function, (obj.__module__, code, obj.__defaults__)
        if isinstance(obj, defaultdict) and type(obj) is not defaultdict:
            # Python would make it anew from its factory alone, whatever its class asks for.
            contents = iter(dict.items(obj))
            return _bare_defaultdict, (type(obj), obj.default_factory), vars(obj), None, contents
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, account_id: str) -> None:
        super().__init__(file)
        self._account_id = account_id
        self._policies: dict[str, Any] | None = None

    def persistent_load(self, pid: Any) -> Any:
        kind, arn, attachments = pid
        assert kind == "aws-policy"
        if self._policies is None:
            self._policies = _aws_policies(self._account_id)
        policy = self._policies[arn]
        policy.attachment_count = attachments
        return policy


def _aws_policies(account_id: str) -> dict[str, Any]:
    from moto.iam.models import IAMBackend

    fresh = IAMBackend("aws", account_id)
    return {policy.arn: policy for policy in fresh.aws_managed_policies}


def _bare_defaultdict(kind: Any, default_factory: Any) -> Any:
    made = kind.__new__(kind)
    made.default_factory = default_factory
    return made


def _function(module: str, code: bytes, defaults: Any) -> types.FunctionType:
    namespace = vars(importlib.import_module(module))
    return types.FunctionType(marshal.loads(code), namespace, argdefs=defaults)  # noqa: S302 - our own file
