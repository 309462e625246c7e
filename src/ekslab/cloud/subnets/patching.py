"""Puts right addresses, interfaces and groups under moto's EC2 and Auto Scaling.

moto 5.2 draws interface addresses at random, twice and out of reserved ranges, lets subnets run
over, knows no limit per instance type, and starts every instance of a group in the group's first
subnet. The methods below take the place of those that do so; everything else stays moto's.
"""

from typing import Any

from ekslab.cloud.subnets import group_checks, groups, instances, interfaces


def install() -> None:
    """Correct moto's classes, once per process."""
    from moto.ec2 import models

    backend: Any = models.EC2Backend
    if getattr(backend, "_ekslab_corrected", False):
        return
    interfaces.install()
    instances.install()
    groups.install()
    group_checks.install()
    backend._ekslab_corrected = True  # noqa: SLF001 - our own mark
