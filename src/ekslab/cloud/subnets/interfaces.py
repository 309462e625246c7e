"""Elastic network interfaces: addresses from the subnet's allocation, limits per instance type.

Errors imitate EC2: `InsufficientFreeAddressesInSubnet`, `InvalidIPAddress.InUse`,
`PrivateIpAddressLimitExceeded`, `AttachmentLimitExceeded`, `InvalidNetworkInterface.InUse`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from ekslab.cloud.facts.instances import NetworkLimits, network_limits
from ekslab.cloud.subnets.allocation import (
    AddressesExhaustedError,
    AddressRefusedError,
    SubnetAddresses,
)

# What types of the future (and of the past) that we do not know may do.
_LIMITS_OF_UNKNOWN_TYPES = NetworkLimits(interfaces=4, ipv4_per_interface=15, branch_interfaces=0)


def install() -> None:
    """Take the place of moto's address handling."""
    import moto.ec2.models.nat_gateways
    import moto.ec2.models.vpcs
    from moto.ec2.models import elastic_network_interfaces, subnets
    from moto.ec2.responses import elastic_network_interfaces as responses

    subnet: Any = subnets.Subnet
    subnet.available_ip_address_count = property(_available_count)
    subnet.get_available_subnet_ip = _take_for_owner
    subnet.request_ip = _claim_for_owner
    subnet.del_subnet_ip = _release_address
    # Both create an interface with an address from nowhere: without one, the subnet gives it.
    for module in (moto.ec2.models.nat_gateways, moto.ec2.models.vpcs):
        vars(module)["random_private_ip"] = _no_wish
    interface: Any = elastic_network_interfaces.NetworkInterface
    interface.__init__ = _with_addresses(interface.__init__)
    interface.delete = _delete_with_instance
    interface.get_filter_value = _with_every_address(interface.get_filter_value)
    backend: Any = elastic_network_interfaces.NetworkInterfaceBackend
    backend.get_network_interface = _get_interface
    backend.delete_network_interface = _delete_interface
    backend.assign_private_ip_addresses = _assign_addresses
    backend.unassign_private_ip_addresses = _unassign_addresses
    backend.attach_network_interface = _attach(backend.attach_network_interface)
    response: Any = responses.ElasticNetworkInterfaces
    response.modify_network_interface_attribute = _with_attachment(
        response.modify_network_interface_attribute
    )


def error(code: str, message: str) -> Exception:
    """An EC2 error as moto carries it to the wire."""
    from moto.ec2.exceptions import EC2ClientError

    made: Exception = EC2ClientError(code, message)
    return made


def limits_of(instance_type: str) -> NetworkLimits:
    """The network limits of an instance type."""
    return network_limits().get(instance_type, _LIMITS_OF_UNKNOWN_TYPES)


def addresses_of(subnet: Any) -> SubnetAddresses:
    """The allocation of a subnet, which lives (and is saved) with moto's subnet."""
    found: SubnetAddresses | None = getattr(subnet, "ekslab_addresses", None)
    if found is None:
        found = subnet.ekslab_addresses = SubnetAddresses(subnet.cidr_block)
        # Addresses an instance or mount target holds before its interface exists.
        subnet.ekslab_promised = set()
    return found


def private_dns_name(address: str, region: str) -> str:
    """`ip-10-0-1-23.ec2.internal` in us-east-1, `ip-10-0-1-23.<region>.compute.internal` else."""
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    return f"ip-{address.replace('.', '-')}.{domain}"


def take(subnet: Any, count: int) -> list[str]:
    """`count` addresses of the subnet, or EC2's error."""
    try:
        return addresses_of(subnet).allocate(count)
    except AddressesExhaustedError:
        raise error(
            "InsufficientFreeAddressesInSubnet",
            f"There are not enough free addresses in subnet '{subnet.id}' to satisfy the requested "
            "number of addresses.",
        ) from None


def claim(subnet: Any, address: str) -> None:
    """One wished address of the subnet, or EC2's error."""
    try:
        addresses_of(subnet).claim(address)
    except AddressRefusedError as refused:
        if refused.reason == "in use":
            raise error(
                "InvalidIPAddress.InUse", "The specified address is already in use."
            ) from None
        where = "reserved address range" if refused.reason == "reserved" else "address range"
        relation = "is in" if refused.reason == "reserved" else "does not fall within the"
        raise error(
            "InvalidParameterValue",
            f"Address {address} {relation} subnet's {where}"
            if refused.reason == "reserved"
            else f"Address does not fall within the subnet's {where}",
        ) from None


def _no_wish(*_args: Any, **_kwargs: Any) -> None:
    return None


def _available_count(subnet: Any) -> int:
    reserved_by_user = subnet.cidr.num_addresses - 5 - subnet._available_ip_addresses  # noqa: SLF001 - moto's field
    return addresses_of(subnet).free_count - int(reserved_by_user)


def _take_for_owner(subnet: Any, instance: Any) -> str:
    del instance
    address = take(subnet, 1)[0]
    subnet.ekslab_promised.add(address)
    return address


def _claim_for_owner(subnet: Any, ip: str, instance: Any) -> None:
    del instance
    claim(subnet, ip)
    subnet.ekslab_promised.add(ip)


def _release_address(subnet: Any, ip: str) -> None:
    addresses_of(subnet).release(ip)
    subnet.ekslab_promised.discard(ip)


def _with_addresses(original: Callable[..., None]) -> Callable[..., None]:
    """Moto's constructor with every address decided before it could draw one."""

    def construct(
        eni: Any,
        ec2_backend: Any,
        subnet: Any,
        private_ip_address: Any = None,
        private_ip_addresses: Sequence[Any] | None = None,
        *args: Any,
        **more: Any,
    ) -> None:
        if isinstance(subnet, str):
            subnet = ec2_backend.get_subnet(subnet)
        if not subnet.cidr_block:
            original(
                eni, ec2_backend, subnet, private_ip_address, private_ip_addresses, *args, **more
            )
            return
        wishes = _wishes(private_ip_address, private_ip_addresses or ())
        secondary_count = int(more.pop("secondary_ips_count", None) or 0)
        addresses = _settle(subnet, wishes, secondary_count)
        entries = [
            {
                "Primary": index == 0,
                "PrivateIpAddress": address,
                "PrivateDnsName": private_dns_name(address, ec2_backend.region_name),
            }
            for index, address in enumerate(addresses)
        ]
        try:
            original(eni, ec2_backend, subnet, addresses[0], entries, *args, **more)
        except Exception:
            for address in addresses:
                _release_address(subnet, address)
            raise
        eni.private_dns_name = entries[0]["PrivateDnsName"]

    return construct


def _wishes(primary: Any, entries: Iterable[Any]) -> list[str]:
    """The wished addresses, the primary one first; empty strings are no wish."""
    if isinstance(primary, list):
        primary = primary[0] if primary else None
    wishes: list[str] = [primary] if primary else []
    for entry in entries:
        address, is_primary = (
            (entry.get("PrivateIpAddress"), entry.get("Primary") in {True, "true", "True"})
            if isinstance(entry, Mapping)
            else (entry, False)
        )
        if not address or address in wishes:
            continue
        if is_primary and not primary:
            wishes.insert(0, address)
        else:
            wishes.append(address)
    return wishes


def _settle(subnet: Any, wishes: Sequence[str], secondary_count: int) -> list[str]:
    """Take the wished addresses and as many more as are wanted, all or none."""
    taken: list[str] = []
    addresses_of(subnet)
    try:
        for address in wishes:
            if address in subnet.ekslab_promised:
                subnet.ekslab_promised.discard(address)
            else:
                claim(subnet, address)
            taken.append(address)
        missing = secondary_count + (0 if taken else 1)
        taken += take(subnet, missing) if missing else []
    except Exception:
        for address in taken:
            _release_address(subnet, address)
        raise
    return taken


def _get_interface(backend: Any, eni_id: str) -> Any:
    found = backend.enis.get(eni_id)
    if found is None:
        raise error(
            "InvalidNetworkInterfaceID.NotFound",
            f"The networkInterface ID '{eni_id}' does not exist",
        )
    return found


def _with_every_address(original: Callable[..., Any]) -> Callable[..., Any]:
    """The filter `addresses.private-ip-address`, in which moto sees the primary one only."""

    def get_filter_value(eni: Any, filter_name: str, method_name: str | None = None) -> Any:
        if filter_name == "addresses.private-ip-address":
            return [entry["PrivateIpAddress"] for entry in eni.private_ip_addresses]
        return original(eni, filter_name, method_name)

    return get_filter_value


def _release_interface(eni: Any) -> None:
    for entry in eni.private_ip_addresses:
        _release_address(eni.subnet, entry["PrivateIpAddress"])


def _delete_interface(backend: Any, eni_id: str) -> None:
    eni = _get_interface(backend, eni_id)
    if eni.instance is not None:
        raise error("InvalidParameterValue", f"Network interface '{eni_id}' is currently in use.")
    del backend.enis[eni_id]
    _release_interface(eni)


def _delete_with_instance(eni: Any) -> None:
    """An interface whose `DeleteOnTermination` is set goes with its instance, attached or not."""
    eni.ec2_backend.enis.pop(eni.id, None)
    _release_interface(eni)


def _assign_addresses(
    backend: Any,
    eni_id: str,
    private_ip_addresses: Sequence[str] | None = None,
    secondary_ips_count: int | None = None,
) -> Any:
    eni = _get_interface(backend, eni_id)
    own = {entry["PrivateIpAddress"] for entry in eni.private_ip_addresses}
    wished = [address for address in private_ip_addresses or () if address not in own]
    count = len(wished) if private_ip_addresses else int(secondary_ips_count or 0)
    _check_address_limit(eni, len(own) + count)
    if private_ip_addresses:
        added = _settle(eni.subnet, wished, 0) if wished else []
    else:
        added = take(eni.subnet, count)
    entries = [
        {
            "Primary": False,
            "PrivateIpAddress": address,
            "PrivateDnsName": private_dns_name(address, backend.region_name),
        }
        for address in added
    ]
    eni.private_ip_addresses.extend(entries)
    # AWS answers with what was added, not with everything the interface has.
    return SimpleNamespace(id=eni.id, private_ip_addresses=entries)


def _unassign_addresses(
    backend: Any, eni_id: str, private_ip_address: Sequence[str] | None = None
) -> Any:
    eni = _get_interface(backend, eni_id)
    wanted = list(private_ip_address or ())
    own = {entry["PrivateIpAddress"]: entry for entry in eni.private_ip_addresses}
    wrong = [
        address for address in wanted if address not in own or address == eni.private_ip_address
    ]
    if wrong:
        raise error(
            "InvalidParameterValue",
            f"[{', '.join(wrong)}] are not assigned as secondary addresses to interface {eni_id}",
        )
    for address in wanted:
        eni.private_ip_addresses.remove(own[address])
        _release_address(eni.subnet, address)
    return eni


def _check_address_limit(eni: Any, count: int) -> None:
    if eni.instance is None:
        return
    if count > limits_of(eni.instance.instance_type).ipv4_per_interface:
        raise error(
            "PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit."
        )


def _with_attachment(original: Callable[..., Any]) -> Callable[..., Any]:
    """`Attachment.DeleteOnTermination`, which moto does not read."""

    def modify(response: Any) -> Any:
        wanted = response._get_param("Attachment.DeleteOnTermination")  # noqa: SLF001 - moto's way
        if wanted is not None:
            eni_id = response._get_param("NetworkInterfaceId")  # noqa: SLF001 - moto's way
            eni = _get_interface(response.ec2_backend, eni_id)
            eni.delete_on_termination = str(wanted).lower() == "true"
        return original(response)

    return modify


def _attach(original: Callable[..., Any]) -> Callable[..., Any]:
    def attach(backend: Any, eni_id: str, instance_id: str, device_index: Any) -> Any:
        eni = _get_interface(backend, eni_id)
        instance = backend.get_instance(instance_id)
        index = int(device_index)
        if eni.instance is not None:
            raise error("InvalidNetworkInterface.InUse", f"Interface: [{eni_id}] in use.")
        if index in instance.nics:
            raise error(
                "InvalidParameterValue",
                f"Instance '{instance_id}' already has an interface attached at device index "
                f"'{index}'.",
            )
        limits = limits_of(instance.instance_type)
        if len(instance.nics) + 1 > limits.interfaces:
            raise error(
                "AttachmentLimitExceeded",
                f"Interface count {len(instance.nics) + 1} exceeds the limit for "
                f"{instance.instance_type}",
            )
        if len(eni.private_ip_addresses) > limits.ipv4_per_interface:
            raise error(
                "PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit."
            )
        if eni.subnet.availability_zone != str(instance.placement):
            raise error(
                "InvalidParameterCombination",
                "You may not attach a network interface to an instance if they are not in the same "
                "availability zone",
            )
        return original(backend, eni_id, instance_id, index)

    return attach
