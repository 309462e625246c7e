"""Kubernetes versions that EKS offers, platform versions, and AMI releases of node groups.

Which versions there are is told by the composition (`CloudConfig.kubernetes_versions`). Dates: the
calendar of the EKS user guide as far as it is known; a version without a known date leaves it out.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from ekslab.cloud.eks.faults import invalid_parameter
from ekslab.cloud.eks.state import Asked, Wire, page
from ekslab.cloud.facts.images import RELEASE_DATE

# (released on EKS, end of standard support, end of extended support); kubernetes-versions page of
# the EKS user guide. The later end dates are the guide's 14 and 26 months after release.
_CALENDAR: Mapping[str, tuple[str, str, str]] = {
    "1.29": ("2024-01-23", "2025-03-23", "2026-03-23"),
    "1.30": ("2024-05-23", "2025-07-23", "2026-07-23"),
    "1.31": ("2024-09-26", "2025-11-26", "2026-11-26"),
    "1.32": ("2025-01-23", "2026-03-23", "2027-03-23"),
    "1.33": ("2025-05-29", "2026-07-29", "2027-07-29"),
    "1.34": ("2025-10-02", "2026-12-02", "2027-12-02"),
}
_PLATFORM = "eks.1"


def platform_version(version: str) -> str:
    """The platform version of a new cluster."""
    del version
    return _PLATFORM


def minor(version: str) -> int:
    """`minor("1.34") == 34`."""
    return int(version.split(".")[1])


def release_version(version: str) -> str:
    """The AMI release of a node group, such as `1.34.0-20261101`."""
    return f"{version}.0-{RELEASE_DATE}"


def describe_cluster_versions(asked: Asked) -> Wire:
    """`DescribeClusterVersions`."""
    wanted = asked.params.get("clusterVersions") or asked.state.versions
    unknown = [version for version in wanted if version not in asked.state.versions]
    if unknown:
        raise invalid_parameter(f"Unsupported Kubernetes version: {unknown[0]}")
    rows = [
        _describe(version, asked.state.default_version, asked.state.clock.now())
        for version in _newest_first(wanted)
    ]
    if asked.params.get("defaultOnly"):
        rows = [row for row in rows if row["defaultVersion"]]
    status = asked.params.get("versionStatus")
    if status:
        rows = [row for row in rows if row["versionStatus"] == status]
    return page(asked, rows, "clusterVersions")


def _newest_first(versions: Sequence[str]) -> list[str]:
    return sorted(versions, key=minor, reverse=True)


def _describe(version: str, default: str, now_s: float) -> Wire:
    row: Wire = {
        "clusterVersion": version,
        "clusterType": "eks",
        "defaultPlatformVersion": platform_version(version),
        "defaultVersion": version == default,
        "status": "standard-support",
        "versionStatus": "STANDARD_SUPPORT",
        "kubernetesPatchVersion": f"{version}.0",
    }
    dates = _CALENDAR.get(version)
    if dates is not None:
        released, standard, extended = (
            datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() for text in dates
        )
        row |= {
            "releaseDate": released,
            "endOfStandardSupportDate": standard,
            "endOfExtendedSupportDate": extended,
        }
        if now_s > standard:
            row |= {"status": "extended-support", "versionStatus": "EXTENDED_SUPPORT"}
    return row
