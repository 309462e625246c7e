"""The AMIs that the lab's EC2 offers, and the SSM parameters that name them.

Amazon Linux 2023 for EKS (account 602401143452) in every Kubernetes version, plain Amazon Linux
2023 and Ubuntu 24.04. Ids are the same in every lab and region; real ones differ by region.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

RELEASE_DATE = "20261101"
_KUBERNETES_VERSIONS = tuple(f"1.{minor}" for minor in range(29, 41))
_ARCHITECTURES = ("x86_64", "arm64")


@dataclass(frozen=True, slots=True)
class Image:
    """An AMI."""

    id: str
    name: str
    owner: str
    description: str
    architecture: str
    root_device: str = "/dev/xvda"


def eks_image_id(version: str, architecture: str) -> str:
    """The EKS-optimized AMI of Amazon Linux 2023 for this version and architecture."""
    return _image_id(f"eks-al2023-{version}-{architecture}")


def images() -> Iterator[Image]:
    """Every AMI."""
    for architecture in _ARCHITECTURES:
        for version in _KUBERNETES_VERSIONS:
            yield Image(
                eks_image_id(version, architecture),
                f"amazon-eks-node-al2023-{architecture}-standard-{version}-v{RELEASE_DATE}",
                "602401143452",
                "EKS-optimized Kubernetes node based on Amazon Linux 2023, "
                f"(k8s: {version}.0, containerd: 2.1.*)",
                architecture,
            )
        yield Image(
            _image_id(f"al2023-{architecture}"),
            f"al2023-ami-2023.9.{RELEASE_DATE}.0-kernel-6.12-{architecture}",
            "137112412989",
            f"Amazon Linux 2023 AMI 2023.9.{RELEASE_DATE}.0 {architecture} HVM kernel-6.12",
            architecture,
        )
        ubuntu = "amd64" if architecture == "x86_64" else "arm64"
        yield Image(
            _image_id(f"ubuntu-24.04-{architecture}"),
            f"ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{ubuntu}-server-{RELEASE_DATE}",
            "099720109477",
            f"Canonical, Ubuntu, 24.04, {ubuntu} noble image",
            architecture,
            "/dev/sda1",
        )


def parameters() -> Iterator[tuple[str, str]]:
    """SSM's public parameters for these AMIs: name and value."""
    for architecture in _ARCHITECTURES:
        for version in _KUBERNETES_VERSIONS:
            prefix = (
                f"/aws/service/eks/optimized-ami/{version}/amazon-linux-2023/{architecture}"
                "/standard/recommended"
            )
            image_id = eks_image_id(version, architecture)
            name = f"amazon-eks-node-al2023-{architecture}-standard-{version}-v{RELEASE_DATE}"
            release = f"{version}.0-{RELEASE_DATE}"
            yield f"{prefix}/image_id", image_id
            yield f"{prefix}/image_name", name
            yield f"{prefix}/release_version", release
            yield (
                prefix,
                (
                    f'{{"image_id":"{image_id}","image_name":"{name}","release_version":"{release}",'
                    '"schema_version":"2"}'
                ),
            )
        for kernel in ("default", "6.12"):
            yield (
                f"/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-{kernel}-{architecture}",
                _image_id(f"al2023-{architecture}"),
            )


def as_moto_reads_them() -> list[dict[str, Any]]:
    """The AMIs as arguments of moto's `Ami`."""
    return [
        {
            "ami_id": image.id,
            "state": "available",
            "public": True,
            "owner_id": image.owner,
            "image_location": f"amazon/{image.name}",
            "sriov": "simple",
            "root_device_type": "ebs",
            "root_device_name": image.root_device,
            "description": image.description,
            "image_type": "machine",
            "platform": None,
            "architecture": image.architecture,
            "name": image.name,
            "virtualization_type": "hvm",
            "hypervisor": "xen",
        }
        for image in images()
    ]


def _image_id(name: str) -> str:
    return "ami-0" + hashlib.sha256(name.encode()).hexdigest()[:16]
