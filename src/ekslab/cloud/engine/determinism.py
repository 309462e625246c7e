"""One seed and one clock per call of moto, so that a journal of calls replays to the same ids.

moto draws from its own generator, from `random`, from `os.urandom` (through `uuid4` too) and reads
the time through `moto.core.utils`. For the length of one call all of them answer from the call's
seed and time; afterwards the process has its own sources back. Keys that OpenSSL makes are out of
reach: calls that make such keys are not replayed (`engine.NOT_REPLAYABLE`).

Backends that moto creates lazily (a region's default VPC, for instance) are seeded by their name,
so that it does not matter whether a reading or a writing call came first.
"""

import contextlib
import datetime as dt
import os
import random  # noqa: TID251 - moto and its libraries draw from it: it is seeded here
import types
from collections.abc import Iterator
from typing import Any

# What an account has from the first day (default VPCs, AMIs) is dated 2026-01-01 in every run.
_ACCOUNT_OPENED_S = 1_767_225_600.0


class _CallClock:
    """The time of the call that moto is answering; the installed patches read it."""

    now_s: float | None = None


class _CallDatetime(dt.datetime):
    """`datetime.datetime` for moto: `now` is the call's time, everything else is the real thing."""

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Any:
        if _CallClock.now_s is None:
            return dt.datetime.now(tz)  # noqa: TID251 - outside of any call
        return dt.datetime.fromtimestamp(_CallClock.now_s, tz)

    @classmethod
    def fromtimestamp(cls, timestamp: float, tz: dt.tzinfo | None = None) -> Any:
        return dt.datetime.fromtimestamp(timestamp, tz)

    @classmethod
    def strptime(cls, date_string: str, format: str, /) -> Any:  # noqa: A002 - upstream's name
        return dt.datetime.strptime(date_string, format)  # noqa: DTZ007 - as upstream


def install() -> None:
    """Make moto read the call's time and seed its lazily made backends. Idempotent."""
    import moto.autoscaling.models
    import moto.core.base_backend
    import moto.core.utils
    import moto.s3.models

    shim: Any = types.ModuleType("datetime")
    for name in ("timedelta", "timezone", "date", "time", "tzinfo", "UTC"):
        setattr(shim, name, getattr(dt, name))
    shim.datetime = _CallDatetime
    vars(moto.core.utils)["datetime"] = shim
    vars(moto.s3.models)["datetime"] = shim
    vars(moto.autoscaling.models)["datetime"] = _CallDatetime
    _give_users_their_prefix()
    backends: Any = moto.core.base_backend.AccountSpecificBackend
    if getattr(backends, "_ekslab_seeded", False):
        return
    original = backends.__getitem__

    def seeded_getitem(self: Any, region_name: str) -> Any:
        if region_name == "global" or region_name in self.keys():
            return original(self, region_name)
        with seeded(f"{self.service_name}:{region_name}", now_s=_ACCOUNT_OPENED_S):
            return original(self, region_name)

    backends.__getitem__ = seeded_getitem
    backends._ekslab_seeded = True  # noqa: SLF001 - our own mark


def _give_users_their_prefix() -> None:
    """Ids of IAM users begin with AIDA; moto gives them 20 small letters."""
    from moto.iam import models

    users: Any = models.User
    original = users.__init__
    if getattr(users, "_ekslab_prefixed", False):
        return

    def construct(user: Any, *args: Any, **more: Any) -> None:
        original(user, *args, **more)
        user.id = "AIDA" + user.id.upper()[:17]

    users.__init__ = construct
    users._ekslab_prefixed = True  # noqa: SLF001 - our own mark


def now_s() -> float:
    """The time of the call that moto is answering."""
    assert _CallClock.now_s is not None, "outside of any call"
    return _CallClock.now_s


@contextlib.contextmanager
def at_time(now_s: float) -> Iterator[None]:
    """Within the block moto's time is `now_s`. Its chance goes on where it was: what reads draw
    (ids of requests) is not kept.
    """
    before, _CallClock.now_s = _CallClock.now_s, now_s
    try:
        yield
    finally:
        _CallClock.now_s = before


@contextlib.contextmanager
def seeded(seed: str, *, now_s: float | None) -> Iterator[None]:
    """Within the block moto's chance comes from `seed` and its time is `now_s`."""
    from moto.moto_api._internal import mock_random as moto_random

    before = (moto_random.getstate(), random.getstate(), os.urandom, _CallClock.now_s)
    moto_random.seed(f"moto:{seed}")
    random.seed(f"random:{seed}")
    os.urandom = random.Random(f"urandom:{seed}").randbytes  # noqa: S311 - ids, see the module
    _CallClock.now_s = now_s
    try:
        yield
    finally:
        moto_random.setstate(before[0])
        random.setstate(before[1])
        os.urandom = before[2]
        _CallClock.now_s = before[3]
