"""Named formats: apiserver `pkg/cel/library/format.go`."""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from ekslab.kube.api import names
from ekslab.kube.api.cel import numbers
from ekslab.kube.api.cel.functions import member, plain
from ekslab.kube.api.cel.library.urls import why_not
from ekslab.kube.api.cel.types import FORMAT, STRING, list_of, optional_of
from ekslab.kube.api.cel.values import NONE, Optional, tenth

_UUID: Final = re.compile(
    r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE
)


class Format:
    """A format as a value. `pattern_size` is what its cost goes by."""

    __slots__ = ("check", "name", "pattern_size")
    type_name: Final = FORMAT.name

    def __init__(self, name: str, check: Callable[[str], Sequence[str]], pattern_size: int) -> None:
        self.name = name
        self.check = check
        self.pattern_size = pattern_size

    def __str__(self) -> str:
        return self.name


def _prefix(rule: names.Rule) -> Callable[[str], Sequence[str]]:
    """Names that something is added to may end with a dash."""
    return lambda text: rule(names.as_prefix(text))


def _uri(text: str) -> Sequence[str]:
    why = why_not(text)
    return () if why is None else (why,)


def _uuid(text: str) -> Sequence[str]:
    return () if _UUID.fullmatch(text) else ("does not match the UUID format",)


def _byte(text: str) -> Sequence[str]:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return ("invalid base64",)
    return ()


def _date(text: str) -> Sequence[str]:
    fits = re.fullmatch(r"\d{4}-\d\d-\d\d", text) and numbers.parse_timestamp(f"{text}T00:00:00Z")
    return ("invalid date",) if fits is None else ()


def _datetime(text: str) -> Sequence[str]:
    return () if numbers.parse_timestamp(text) is not None else ("invalid datetime",)


_FORMATS: Final = {
    "dns1123Label": Format("DNS1123Label", names.is_dns1123_label, 30),
    "dns1123Subdomain": Format("DNS1123Subdomain", names.is_dns1123_subdomain, 60),
    "dns1035Label": Format("DNS1035Label", names.is_dns1035_label, 30),
    "qualifiedName": Format("QualifiedName", names.is_qualified_name, 60),
    "dns1123LabelPrefix": Format("DNS1123LabelPrefix", _prefix(names.is_dns1123_label), 30),
    "dns1123SubdomainPrefix": Format(
        "DNS1123SubdomainPrefix", _prefix(names.is_dns1123_subdomain), 60
    ),
    "dns1035LabelPrefix": Format("DNS1035LabelPrefix", _prefix(names.is_dns1035_label), 30),
    "labelValue": Format("LabelValue", names.is_label_value, 40),
    "uri": Format("URI", _uri, 1104),
    "uuid": Format("uuid", _uuid, 72),
    "byte": Format("byte", _byte, 84),
    "date": Format("date", _date, 72),
    "datetime": Format("datetime", _datetime, 72),
}


def _named(name: str) -> Optional:
    found = _FORMATS.get(name)
    return NONE if found is None else Optional(found)


def _validated(form: Format, text: str) -> Optional:
    wrong = form.check(text)
    return Optional(list(wrong)) if wrong else NONE


def _constant(form: Format) -> Callable[[], Format]:
    return lambda: form


def _cost(args: tuple[Any, ...], _result: Any) -> int:
    form, text = args
    cost: int = tenth(len(text) + 1) * -(-form.pattern_size // 4)
    return cost


OVERLOADS: Final = [
    member("validate", (FORMAT, STRING), optional_of(list_of(STRING)), _validated, _cost),
    plain("format.named", (STRING,), optional_of(FORMAT), _named),
    *(plain(f"format.{name}", (), FORMAT, _constant(form)) for name, form in _FORMATS.items()),
]
