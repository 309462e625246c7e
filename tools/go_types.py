"""Reads facts off Go type declarations: what a JSON schema of the same type leaves out.

A schema does not say whether a field is a pointer, whether an empty value is left out, what the
type is called in error messages, which constants an enumeration has. Upstream's `types.go` do.
Only the forms that occur there are understood: structs with tags, named types, const blocks.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

_TYPE = re.compile(r"^type (\w+) (struct \{|.+)$")
_FIELD = re.compile(r"^\t(?:(\w+)\s+)?([\w.*\[\]{}]+)\s+`([^`]*)`")
_TAG = re.compile(r'(\w+):"([^"]*)"')
_IMPORT = re.compile(r'^\s*(?:import )?(?:(\w+) )?"([\w./-]+)"')
_CONST = re.compile(r'^\t?(?:const )?(\w+)\s+(?:(\w+)\s+)?=\s+(?:(\w+)\()?"([^"]*)"\)?')
_DEFAULT = re.compile(r"^\+default=(.+)$")


@dataclass
class GoField:
    """One field: its JSON name, its type as reflection prints it, and what its tags say."""

    json_name: str
    type: str
    omit_empty: bool
    omit_zero: bool
    default: str = ""
    patch_strategy: str = ""
    patch_merge_key: str = ""


@dataclass
class GoType:
    """A struct (fields, embedded types by name) or a named type (`underlying`)."""

    name: str
    fields: list[GoField] = field(default_factory=list)
    embedded: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    underlying: str = ""
    is_enum: bool = False


@dataclass
class GoPackage:
    """All types and string constants of one package."""

    types: dict[str, GoType] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)
    enums: dict[str, list[str]] = field(default_factory=dict)


def read_package(folder: Path) -> GoPackage:
    """Read the package in `folder`; generated and test files are left out."""
    package = GoPackage()
    for path in sorted(folder.glob("*.go")):
        if path.name.startswith(("zz_", "generated")) or path.name.endswith(
            ("_test.go", "_swagger_doc_generated.go")
        ):
            continue
        _read_file(path.read_text(), package)
    return package


def _read_file(text: str, package: GoPackage) -> None:
    own = re.search(r"^package (\w+)", text, re.MULTILINE)
    assert own
    names = {"": own[1]}
    comment: list[str] = []
    current: GoType | None = None
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("//"):
            comment.append(stripped[2:].strip())
            continue
        if match := _IMPORT.match(line):
            names[match[1] or match[2].rsplit("/", 1)[-1]] = match[2].rsplit("/", 1)[-1]
        elif current is None and (match := _TYPE.match(line)):
            found = GoType(match[1], is_enum="+enum" in comment)
            package.types[found.name] = found
            if match[2] == "struct {":
                current = found
            else:
                found.underlying = match[2].removeprefix("= ").split(" //")[0].strip()
        elif current is not None and line == "}":
            current = None
        elif current is not None and (match := _FIELD.match(line)):
            _read_field(match, comment, current, names)
        elif current is None and (match := _CONST.match(line)):
            package.constants[match[1]] = match[4]
            if kind := match[2] or match[3]:
                package.enums.setdefault(kind, []).append(match[4])
        if stripped or current is None:
            comment = []


def _read_field(
    match: re.Match[str], comment: list[str], current: GoType, names: dict[str, str]
) -> None:
    tags = dict(_TAG.findall(match[3]))
    json_name, *options = tags.get("json", "").split(",")
    if json_name == "-":
        return
    if not json_name and ("inline" in options or not match[1]):
        current.embedded.append(match[2])
        current.order.append("+" + match[2])
        return
    default = next((m[1] for text in comment if (m := _DEFAULT.match(text))), "")
    current.order.append(json_name)
    current.fields.append(
        GoField(
            json_name=json_name,
            type=printed(match[2], names),
            omit_empty="omitempty" in options,
            omit_zero="omitzero" in options,
            default=default,
            patch_strategy=tags.get("patchStrategy", ""),
            patch_merge_key=tags.get("patchMergeKey", ""),
        )
    )


_BUILT_IN = {
    "string", "bool", "int", "int32", "int64", "byte", "uint8", "float64", "interface{}", "error",
}  # fmt: skip


def printed(go_type: str, names: dict[str, str]) -> str:
    """A type as reflection prints it: packages by their real name, own types qualified."""

    def qualify(match: re.Match[str]) -> str:
        qualifier, name = match[1], match[2]
        if qualifier:
            return f"{names.get(qualifier, qualifier)}.{name}"
        if name in _BUILT_IN or name in {"map", "interface"}:
            return "uint8" if name == "byte" else name
        return f"{names['']}.{name}"

    return re.sub(r"(?:(\w+)\.)?(\w+)", qualify, go_type)
