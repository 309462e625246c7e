"""Addresses of endpoints: upstream's `ValidateNonSpecialIP`."""

import ipaddress

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.apiserver.kinds.field_errors import each_invalid, invalid


def validate_not_special(address: str, path: str) -> list[Cause]:
    """Refuses what is no address, and addresses that mean something else on every host."""
    wrong = names.is_ip(address)
    if wrong:
        return each_invalid(path, address, wrong)
    parsed = ipaddress.ip_address(address)
    causes: list[Cause] = []
    if parsed.is_unspecified:
        causes.append(invalid(path, address, f"may not be unspecified ({address})"))
    if parsed.is_loopback:
        why = "may not be in the loopback range (127.0.0.0/8, ::1/128)"
        causes.append(invalid(path, address, why))
    if parsed.is_link_local:
        why = "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
        causes.append(invalid(path, address, why))
    if parsed.is_multicast and str(parsed).startswith(("224.0.0.", "ff02:")):
        why = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        causes.append(invalid(path, address, why))
    return causes
