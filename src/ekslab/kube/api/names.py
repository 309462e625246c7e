"""What names, labels and keys may look like, with upstream's words for what is wrong.

Imitates `k8s.io/apimachinery/pkg/util/validation` (and `pkg/api/validation/path`): each rule takes
a value and gives the list of things wrong with it, empty if it is good. Clients compare the texts.
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Final

from ekslab.kit.remembering import remembered

Rule = Callable[[str], Sequence[str]]
"""A rule for one string: what is wrong with it, in upstream's words."""

LABEL_CHARS_MOST: Final = 63
SUBDOMAIN_CHARS_MOST: Final = 253
_REMEMBERED_LONGEST: Final = SUBDOMAIN_CHARS_MOST + 1 + LABEL_CHARS_MOST  # a label's key
_GOOD: Final[tuple[str, ...]] = ()

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE: Final = f"({_QUALIFIED})?"
_CONFIG_KEY: Final = "[-._a-zA-Z0-9]+"
_C_IDENTIFIER: Final = "[A-Za-z_][A-Za-z0-9_]*"
_HEADER: Final = "[-A-Za-z0-9]+"
_PERCENT: Final = "[0-9]+%"

_LABEL_RE: Final = re.compile(_LABEL)
_SUBDOMAIN_RE: Final = re.compile(_SUBDOMAIN)
_LABEL_1035_RE: Final = re.compile(_LABEL_1035)
_QUALIFIED_RE: Final = re.compile(_QUALIFIED)
_LABEL_VALUE_RE: Final = re.compile(_LABEL_VALUE)
_WILDCARD_RE: Final = re.compile(rf"\*\.{_SUBDOMAIN}")
_CONFIG_KEY_RE: Final = re.compile(_CONFIG_KEY)
_C_IDENTIFIER_RE: Final = re.compile(_C_IDENTIFIER)
_HEADER_RE: Final = re.compile(_HEADER)
_PERCENT_RE: Final = re.compile(_PERCENT)
_PORT_CHARS_RE: Final = re.compile("[-a-z0-9]+")
_LETTER_RE: Final = re.compile("[a-z]")


def _explain(message: str, pattern: str, *examples: str) -> str:
    """Upstream's `RegexError`; with two examples it writes two blanks before `or`."""
    shown = " or ".join(f"'{example}', " for example in examples)
    opening = f" (e.g. {shown}" if examples else " ("
    return f"{message}{opening}regex used for validation is '{pattern}')"


_LABEL_TEXT: Final = _explain(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and"
    " must start and end with an alphanumeric character",
    _LABEL,
    "my-name",
    "123-abc",
)
_SUBDOMAIN_TEXT: Final = _explain(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or"
    " '.', and must start and end with an alphanumeric character",
    _SUBDOMAIN,
    "example.com",
)
_LABEL_1035_TEXT: Final = _explain(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an"
    " alphabetic character, and end with an alphanumeric character",
    _LABEL_1035,
    "my-name",
    "abc-123",
)
_WILDCARD_TEXT: Final = _explain(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which"
    " must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric"
    " character",
    rf"\*\.{_SUBDOMAIN}",
    "*.example.com",
)
_QUALIFIED_TEXT: Final = _explain(
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an"
    " alphanumeric character",
    _QUALIFIED,
    "MyName",
    "my.name",
    "123-abc",
)
_LABEL_VALUE_TEXT: Final = _explain(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or"
    " '.', and must start and end with an alphanumeric character",
    _LABEL_VALUE,
    "MyValue",
    "my_value",
    "12345",
)
_CONFIG_KEY_TEXT: Final = _explain(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    _CONFIG_KEY,
    "key.name",
    "KEY_NAME",
    "key-name",
)
_C_IDENTIFIER_TEXT: Final = _explain(
    "a valid C identifier must start with alphabetic character or '_', followed by a string of"
    " alphanumeric characters or '_'",
    _C_IDENTIFIER,
    "my_name",
    "MY_NAME",
    "MyName",
)
_HEADER_TEXT: Final = _explain(
    "a valid HTTP header must consist of alphanumeric characters or '-'", _HEADER, "X-Header-Name"
)
_PERCENT_TEXT: Final = _explain(
    "a valid percent string must be a numeric string followed by an ending '%'",
    _PERCENT,
    "1%",
    "93%",
)
_ENV_TEXT: Final = (
    "a valid environment variable name must consist only of printable ASCII characters other"
    " than '='"
)


def longer_than(most: int) -> str:
    """What upstream says of a name that is too long."""
    return f"must be no more than {most} characters"


def outside_range(low: int, high: int) -> str:
    """What upstream says of a number outside of a range."""
    return f"must be between {low} and {high}, inclusive"


@remembered(8192, longest=_REMEMBERED_LONGEST)
def is_dns1123_label(value: str) -> Sequence[str]:
    """`my-name`: namespaces, container names, port names of endpoints."""
    if len(value) <= LABEL_CHARS_MOST and _LABEL_RE.fullmatch(value):
        return _GOOD
    wrong = [longer_than(LABEL_CHARS_MOST)] if len(value) > LABEL_CHARS_MOST else []
    if not _LABEL_RE.fullmatch(value):
        dotted = _SUBDOMAIN_RE.fullmatch(value)
        wrong.append("must not contain dots" if dotted else _LABEL_TEXT)
    return wrong


@remembered(65536, longest=_REMEMBERED_LONGEST)
def is_dns1123_subdomain(value: str) -> Sequence[str]:
    """`my-name.example`: the names of most objects."""
    if len(value) <= SUBDOMAIN_CHARS_MOST and _SUBDOMAIN_RE.fullmatch(value):
        return _GOOD
    wrong = [longer_than(SUBDOMAIN_CHARS_MOST)] if len(value) > SUBDOMAIN_CHARS_MOST else []
    if not _SUBDOMAIN_RE.fullmatch(value):
        wrong.append(_SUBDOMAIN_TEXT)
    return wrong


def is_dns1035_label(value: str) -> Sequence[str]:
    """`my-name`, a letter first: services."""
    wrong = [longer_than(LABEL_CHARS_MOST)] if len(value) > LABEL_CHARS_MOST else []
    if not _LABEL_1035_RE.fullmatch(value):
        wrong.append(_LABEL_1035_TEXT)
    return wrong


def is_wildcard_dns1123_subdomain(value: str) -> Sequence[str]:
    """`*.example.com`: hosts of ingress rules."""
    wrong = [longer_than(SUBDOMAIN_CHARS_MOST)] if len(value) > SUBDOMAIN_CHARS_MOST else []
    if not _WILDCARD_RE.fullmatch(value):
        wrong.append(_WILDCARD_TEXT)
    return wrong


@remembered(8192, longest=_REMEMBERED_LONGEST)
def is_qualified_name(value: str) -> Sequence[str]:
    """`name` or `example.com/name`: keys of labels and annotations, resources, finalizers."""
    prefix, slash, name = value.rpartition("/")
    if "/" in prefix:
        example = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [f"a qualified name {_QUALIFIED_TEXT} {example}"]
    wrong: list[str] = []
    if slash and not prefix:
        wrong.append("prefix part must be non-empty")
    elif slash:
        wrong.extend(f"prefix part {text}" for text in is_dns1123_subdomain(prefix))
    if not name:
        wrong.append("name part must be non-empty")
    elif len(name) > LABEL_CHARS_MOST:
        wrong.append(f"name part {longer_than(LABEL_CHARS_MOST)}")
    if not _QUALIFIED_RE.fullmatch(name):
        wrong.append(f"name part {_QUALIFIED_TEXT}")
    return wrong


@remembered(8192, longest=_REMEMBERED_LONGEST)
def is_label_value(value: str) -> Sequence[str]:
    """Empty, or like a name of up to 63 characters."""
    wrong = [longer_than(LABEL_CHARS_MOST)] if len(value) > LABEL_CHARS_MOST else []
    if not _LABEL_VALUE_RE.fullmatch(value):
        wrong.append(_LABEL_VALUE_TEXT)
    return wrong


def is_path_segment(value: str) -> Sequence[str]:
    """Anything that can stand in a URL's path: names of RBAC objects."""
    if value in {".", ".."}:
        return [f"may not be '{value}'"]
    return [f"may not contain '{char}'" for char in "/%" if char in value]


def is_config_key(value: str) -> Sequence[str]:
    """Keys of ConfigMaps and Secrets: they become file names."""
    wrong = [longer_than(SUBDOMAIN_CHARS_MOST)] if len(value) > SUBDOMAIN_CHARS_MOST else []
    if not _CONFIG_KEY_RE.fullmatch(value):
        wrong.append(_CONFIG_KEY_TEXT)
    if value in {".", ".."}:
        wrong.append(f"must not be '{value}'")
    elif value.startswith(".."):
        wrong.append("must not start with '..'")
    return wrong


def is_environment_name(value: str) -> Sequence[str]:
    """Names of environment variables, as upstream has relaxed them (1.34)."""
    if not value:
        return ["environment variable name must be non-empty"]
    if any(not " " <= char <= "~" or char == "=" for char in value):
        return [_ENV_TEXT]
    return _GOOD


def is_http_header(value: str) -> Sequence[str]:
    """Names of HTTP headers in probes."""
    return _GOOD if _HEADER_RE.fullmatch(value) else [_HEADER_TEXT]


def is_percent(value: str) -> Sequence[str]:
    """`25%`: surge and budgets."""
    return _GOOD if _PERCENT_RE.fullmatch(value) else [_PERCENT_TEXT]


def is_port_name(value: str) -> Sequence[str]:
    """IANA service names: the names of container ports."""
    wrong = [longer_than(15)] if len(value) > 15 else []
    if not _PORT_CHARS_RE.fullmatch(value):
        wrong.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not _LETTER_RE.search(value):
        wrong.append("must contain at least one letter (a-z)")
    if "--" in value:
        wrong.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        wrong.append("must not begin or end with a hyphen")
    return wrong


def is_port_number(value: int) -> Sequence[str]:
    """1 to 65535."""
    return _GOOD if 1 <= value <= 65535 else [outside_range(1, 65535)]


@remembered(16384, longest=_REMEMBERED_LONGEST)
def is_ip(value: str) -> Sequence[str]:
    """An IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return _GOOD


def is_cidr(value: str) -> Sequence[str]:
    """A network with its prefix length."""
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]
    return (
        _GOOD
        if "/" in value
        else ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]
    )


def as_prefix(value: str) -> str:
    """A generateName as its rule sees it: one trailing dash does not count against it."""
    if len(value) > 1 and value.endswith("-"):
        return value[:-2] + "a"
    return value
