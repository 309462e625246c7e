"""Instances: full subnets are told before anything is made; interfaces live as long as on AWS."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ekslab.cloud.facts.instances import network_limits
from ekslab.cloud.subnets import ended
from ekslab.cloud.subnets.interfaces import addresses_of, error, limits_of


def install() -> None:
    """Take the place of moto's start and end of instances."""
    from moto.ec2.models import instances

    backend: Any = instances.InstanceBackend
    backend.run_instances = _checked(backend.run_instances)
    instance: Any = instances.Instance
    instance.prep_nics = _with_whole_specs(instance.prep_nics)
    instance.terminate = _with_interfaces_freed(instance.terminate)
    # moto gives addresses back when Python collects the instance: they may be another's by then.
    if "__del__" in vars(instance):
        del instance.__del__


def _checked(original: Callable[..., Any]) -> Callable[..., Any]:
    def run_instances(
        backend: Any,
        image_id: Any,
        count: Any,
        user_data: Any,
        security_group_names: Any,
        **more: Any,
    ) -> Any:
        # moto reads only the tags' and groups' part of a template's network interfaces.
        specs: Sequence[Mapping[str, Any]] = more.get("nics") or ()
        if not image_id and not more.get("launch_template"):
            raise error("MissingParameter", "The request must contain the parameter ImageId")
        if int(count) < 1:
            raise error(
                "InvalidParameterValue",
                f"Value ({count}) for parameter minCount is invalid. Expecting at least 1.",
            )
        _check_instance_type(more)
        _check_interfaces(more, specs)
        if not more.get("subnet_id") and not any(map(_names_its_place, specs)):
            more["subnet_id"] = _default_subnet(backend, more.get("placement"))
        for subnet_id, interfaces in _wanted(more, specs).items():
            subnet = backend.get_subnet(subnet_id)
            if interfaces * int(count) > addresses_of(subnet).free_count:
                raise error(
                    "InsufficientFreeAddressesInSubnet",
                    f"There are not enough free addresses in subnet '{subnet_id}' to satisfy the "
                    "requested number of instances.",
                )
        return original(backend, image_id, count, user_data, security_group_names, **more)

    return run_instances


def _check_instance_type(more: Mapping[str, Any]) -> None:
    instance_type = more.get("instance_type")
    if instance_type and not more.get("is_instance_type_default"):
        from moto.ec2.models.instance_types import INSTANCE_TYPES

        if instance_type not in INSTANCE_TYPES and instance_type not in network_limits():
            raise error(
                "InvalidParameterValue", f"Invalid value '{instance_type}' for InstanceType."
            )


def _check_interfaces(more: Mapping[str, Any], specs: Sequence[Mapping[str, Any]]) -> None:
    instance_type = str(more.get("instance_type") or "")
    limits = limits_of(instance_type)
    if len(specs) > limits.interfaces:
        raise error(
            "AttachmentLimitExceeded",
            f"Interface count {len(specs)} exceeds the limit for {instance_type}",
        )
    if any(_address_count(spec) > limits.ipv4_per_interface for spec in specs):
        raise error(
            "PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit."
        )


def _address_count(spec: Mapping[str, Any]) -> int:
    secondary = int(spec.get("SecondaryPrivateIpAddressCount") or 0)
    return max(1 + secondary, len(spec.get("PrivateIpAddresses") or ()))


def _wanted(more: Mapping[str, Any], specs: Sequence[Mapping[str, Any]]) -> Mapping[str, int]:
    """Addresses each subnet must give for one instance."""
    default = more.get("subnet_id")
    wanted: dict[str, int] = {}
    for spec in specs or ({},):
        subnet_id = spec.get("SubnetId") or default
        if subnet_id and not spec.get("NetworkInterfaceId"):
            wanted[subnet_id] = wanted.get(subnet_id, 0) + _address_count(spec)
    return wanted


def _names_its_place(spec: Mapping[str, Any]) -> bool:
    return bool(spec.get("SubnetId") or spec.get("NetworkInterfaceId"))


def _default_subnet(backend: Any, zone: str | None) -> str:
    """Where an instance goes that is not told where: the default VPC's subnet of the zone."""
    by_zone = backend.get_default_subnets()
    if not by_zone:
        raise error("VPCIdNotSpecified", "No default VPC for this user")
    chosen = by_zone.get(zone) if zone else by_zone[min(by_zone)]
    if chosen is None:
        raise error("InvalidParameterValue", f"Invalid availability zone: [{zone}]")
    return str(chosen.id)


def _with_whole_specs(original: Callable[..., None]) -> Callable[..., None]:
    """Interfaces made at launch are deleted with the instance, unless the caller says otherwise,
    and get the secondary addresses asked for.
    """

    def prep_nics(instance: Any, nic_spec: Any, **more: Any) -> None:
        specs = [dict(spec) for spec in nic_spec] or [{"DeviceIndex": 0}]
        for spec in specs:
            if not spec.get("NetworkInterfaceId"):
                spec.setdefault("DeleteOnTermination", True)
        original(instance, specs, **more)
        for spec in specs:
            eni = instance.nics[int(spec["DeviceIndex"])]
            extra = int(spec.get("SecondaryPrivateIpAddressCount") or 0)
            if extra:
                instance.ec2_backend.assign_private_ip_addresses(eni.id, None, extra)

    return prep_nics


def _with_interfaces_freed(original: Callable[..., Any]) -> Callable[..., Any]:
    """Interfaces that outlive the instance become available, as on AWS."""

    def terminate(instance: Any) -> Any:
        if instance.state == "terminated":
            return instance.instance_state
        previous = original(instance)
        ended.remember(instance)
        for eni in list(instance.nics.values()):
            if eni.id in instance.ec2_backend.enis:
                instance.detach_eni(eni)
        return previous

    return terminate
