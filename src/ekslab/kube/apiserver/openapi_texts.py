"""Descriptions of types and fields, read from the installed `lightkube-models`.

They are the docstrings of its dataclasses. The source is read as text: importing the modules would
build some 800 classes to get at their strings.
"""

import re
from functools import lru_cache
from importlib import resources
from keyword import iskeyword
from typing import Final

_PREFIXES: Final = (
    "io.k8s.api.",
    "io.k8s.apimachinery.pkg.apis.",
    "io.k8s.apiextensions-apiserver.pkg.apis.",
    "io.k8s.kube-aggregator.pkg.apis.",
)
_CLASS: Final = re.compile(
    r'^class (\w+)\(DictMixin\):\n    r"""(.*?)"""', re.MULTILINE | re.DOTALL
)
_FIELD: Final = re.compile(r"^\* \*\*(.+?)\*\* ``.*?``(?: -(.*))?$")


class Texts:
    """Descriptions by full type name; modules are read when first asked for."""

    def of_type(self, full_name: str) -> str:
        """What the type is, or ""."""
        return _texts(full_name).get("", "")

    def of_field(self, full_name: str, field: str) -> str:
        """What a field of the type is, or ""."""
        texts = _texts(full_name)
        return texts.get(field) or texts.get(_python_name(field), "")


def _python_name(field: str) -> str:
    """How the dataclasses spell a field that is no Python name: `$ref`, `x-kubernetes-...`."""
    name = field.replace("$", "d_").replace("-", "_")
    return f"{name}_" if iskeyword(name) else name


def _texts(full_name: str) -> dict[str, str]:
    place, _, name = full_name.rpartition(".")
    for prefix in _PREFIXES:
        if place.startswith(prefix):
            group, _, version = place[len(prefix) :].rpartition(".")
            return _module(f"{group}_{version}").get(name, {})
    return {}


@lru_cache(maxsize=64)
def _module(name: str) -> dict[str, dict[str, str]]:
    """All texts of one module: class -> field ("" for the class itself) -> text."""
    source = resources.files("lightkube.models").joinpath(f"{name}.py")
    if not source.is_file():
        return {}
    found = _CLASS.findall(source.read_text(encoding="utf-8"))
    return {class_name: _docstring(text) for class_name, text in found}


def _docstring(text: str) -> dict[str, str]:
    texts: dict[str, str] = {}
    field, lines = "", list[str]()
    for raw in text.splitlines():
        line = raw.strip()
        match = _FIELD.match(line)
        if line == "**parameters**" or match:
            texts[field] = _joined(lines)
            field, lines = (match[1], [(match[2] or "").strip()]) if match else ("**", [])
        else:
            lines.append(line)
    texts[field] = _joined(lines)
    return texts


def _joined(lines: list[str]) -> str:
    """Wrapped lines as paragraphs again."""
    paragraphs = "\n".join(lines).strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split("\n")) for paragraph in paragraphs)
