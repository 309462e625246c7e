"""Addresses and networks: apiserver `pkg/cel/library/{ip,cidr}.go`.

What is wrong with an address is said in the words of Go's `net/netip`, as far as they are common.
"""

import ipaddress
from typing import Any, Final

from ekslab.kube.api.cel.failures import CelError, no_overload
from ekslab.kube.api.cel.functions import double_traversal, member, plain, traversal
from ekslab.kube.api.cel.types import BOOL, CIDR, INT, IP, STRING
from ekslab.kube.api.cel.values import size, tenth

_Parsed = ipaddress.IPv4Address | ipaddress.IPv6Address


class Address:
    """An IP address as a value."""

    __slots__ = ("ip",)
    type_name: Final = IP.name

    def __init__(self, ip: _Parsed) -> None:
        self.ip = ip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and self.ip == other.ip

    def __hash__(self) -> int:
        return hash(self.ip)

    def __str__(self) -> str:
        return str(self.ip)

    def __len__(self) -> int:
        return len(self.ip.packed)


class Prefix:
    """A network as a value: an address, whose lower bits need not be zero, and a length."""

    __slots__ = ("interface",)
    type_name: Final = CIDR.name

    def __init__(self, interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> None:
        self.interface = interface

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prefix) and self.interface == other.interface

    def __hash__(self) -> int:
        return hash(self.interface)

    def __str__(self) -> str:
        return str(self.interface)

    def __len__(self) -> int:
        return len(self.interface.ip.packed)


def _why_not(text: str) -> str:
    """`netip.ParseAddr`'s words."""
    shown = f'ParseAddr("{text}")'
    if ":" not in text and "." not in text:
        return f"{shown}: unable to parse IP"
    if ":" in text:
        return f"{shown}: each colon-separated field must have at least one digit"
    parts = text.split(".")
    if any(not part for part in parts):
        return f"{shown}: IPv4 field must have at least one digit"
    if any(not part.isdigit() for part in parts):
        return f"{shown}: unexpected character"
    if any(len(part) > 1 and part[0] == "0" for part in parts):
        return f"{shown}: IPv4 field has octet with leading zero"
    if any(int(part) > 255 for part in parts):
        return f"{shown}: IPv4 field has value >255"
    return f"{shown}: IPv4 address too {'long' if len(parts) > 4 else 'short'}"


def parse_ip(text: str) -> Address:
    """An address.

    Raises:
        CelError: it is none, has a zone, or is an IPv4 address in IPv6's clothes.
    """
    plain_text, _, zone = text.partition("%")
    try:
        ip = ipaddress.ip_address(plain_text)
    except ValueError:
        why = f'IP Address "{text}" parse error during conversion from string: {_why_not(text)}'
        raise CelError(why) from None
    if zone:
        raise CelError(f'IP address "{text}" with zone value is not allowed')
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        raise CelError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return Address(ip)


def parse_cidr(text: str) -> Prefix:
    """A network.

    Raises:
        CelError: it is none.
    """
    why = "network address parse error during conversion from string: "
    address, slash, bits = text.rpartition("/")
    shown = f'netip.ParsePrefix("{text}")'
    if not slash:
        raise CelError(f"{why}{why}{shown}: no '/'")
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        raise CelError(f"{why}{why}{shown}: {_why_not(address)}") from None
    if not bits.isdigit() or (len(bits) > 1 and bits[0] == "0"):
        raise CelError(f'{why}{why}{shown}: bad bits after slash: "{bits}"')
    if int(bits) > ip.max_prefixlen:
        raise CelError(f"{why}{why}{shown}: prefix length out of range")
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        raise CelError(f'{why}IPv4-mapped IPv6 address "{address}" is not allowed')
    return Prefix(ipaddress.ip_interface(text))


def _fits(parse: Any) -> Any:
    def run(text: str) -> bool:
        try:
            parse(text)
        except CelError:
            return False
        return True

    return run


def _canonical(text: str) -> bool:
    return str(parse_ip(text)) == text


def _global(address: Address) -> bool:
    """Go's IsGlobalUnicast: private addresses count."""
    ip = address.ip
    special = ip.is_unspecified or ip.is_loopback or ip.is_multicast or ip.is_link_local
    return not special and str(ip) != "255.255.255.255"


def _local_multicast(address: Address) -> bool:
    packed = address.ip.packed
    if len(packed) == 4:
        return packed[:3] == b"\xe0\x00\x00"
    return packed[0] == 0xFF and packed[1] & 0x0F == 2


def _contains_ip(prefix: Prefix, other: Any) -> bool:
    if isinstance(other, str):
        try:
            other = parse_ip(other)
        except CelError:
            raise no_overload() from None
    return other.ip in prefix.interface.network


def _contains_cidr(prefix: Prefix, other: Any) -> bool:
    if isinstance(other, str):
        try:
            other = parse_cidr(other)
        except CelError:
            raise no_overload() from None
    mine, theirs = prefix.interface.network, other.interface.network
    return mine.version == theirs.version and bool(
        mine.prefixlen <= theirs.prefixlen and theirs.network_address in mine
    )


def _looked_at(args: tuple[Any, ...], _result: Any) -> int:
    cost = tenth(2 * len(args[0]))
    return cost + tenth(size(args[1])) if isinstance(args[1], str) else cost


def _masked_and_looked_at(args: tuple[Any, ...], _result: Any) -> int:
    return _looked_at(args, None) + tenth(len(args[0])) + 1


_ONE: Final = (IP,)
OVERLOADS: Final = [
    plain("ip", (STRING,), IP, parse_ip, traversal),
    plain("isIP", (STRING,), BOOL, _fits(parse_ip), traversal),
    plain("ip.isCanonical", (STRING,), BOOL, _canonical, double_traversal),
    plain("string", (IP,), STRING, str),
    member("family", _ONE, INT, lambda address: address.ip.version),
    member("isUnspecified", _ONE, BOOL, lambda address: address.ip.is_unspecified),
    member("isLoopback", _ONE, BOOL, lambda address: address.ip.is_loopback),
    member("isLinkLocalMulticast", _ONE, BOOL, _local_multicast),
    member("isLinkLocalUnicast", _ONE, BOOL, lambda address: address.ip.is_link_local),
    member("isGlobalUnicast", _ONE, BOOL, _global),
    plain("cidr", (STRING,), CIDR, parse_cidr, traversal),
    plain("isCIDR", (STRING,), BOOL, _fits(parse_cidr), traversal),
    plain("string", (CIDR,), STRING, str),
    member("containsIP", (CIDR, STRING), BOOL, _contains_ip, _looked_at),
    member("containsIP", (CIDR, IP), BOOL, _contains_ip, _looked_at),
    member("containsCIDR", (CIDR, STRING), BOOL, _contains_cidr, _masked_and_looked_at),
    member("containsCIDR", (CIDR, CIDR), BOOL, _contains_cidr, _masked_and_looked_at),
    member("ip", (CIDR,), IP, lambda prefix: Address(prefix.interface.ip)),
    member("prefixLength", (CIDR,), INT, lambda prefix: prefix.interface.network.prefixlen),
    member(
        "masked",
        (CIDR,),
        CIDR,
        lambda prefix: Prefix(ipaddress.ip_interface(str(prefix.interface.network))),
    ),
]
