r"""Makes the table of facts of one Kubernetes version.

Run by hand, when a version is added, on unpacked packages (`pip download`, `unzip`):

    ./dev exec python tools/make_facts.py 1.36 \
        --schemas DIR --models DIR --go 0.36.0 --merge FILE

Sources, all named in the table: the PyPI packages `kubernetes-validate` (structure and
`x-kubernetes-*` of every type) and `lightkube-models` (plurals, scope, verbs), the Go modules of
the same release (pointers, omitted zero values, Go's names, enumerations, defaults given in
markers), and `--merge` (list keys and their defaults, from client-go's apply schema). What none of
them says (short names, categories, order of groups, streaming subresources) stands in
`own_facts.py`.
"""

import argparse
import ast
import datetime as dt
import gzip
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import own_facts
from go_types import GoField, GoPackage, GoType, read_package

_REF = "#/$defs/"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_SPECIAL = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "q",
    _META + "Time": "t",
    _META + "MicroTime": "m",
    _META + "FieldsV1": "a",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "a",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "x",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": "a",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": "a",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": "a",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": "a",
}
_MODULES = {
    "io.k8s.api.": ("api", ""),
    "io.k8s.apimachinery.pkg.": ("apimachinery", "pkg/"),
    "io.k8s.apiextensions-apiserver.pkg.": ("apiextensions-apiserver", "pkg/"),
    "io.k8s.kube-aggregator.pkg.": ("kube-aggregator", "pkg/"),
}
_VERBS = {
    "post": "create", "put": "update", "patch": "patch", "get": "get", "delete": "delete",
    "deletecollection": "deletecollection", "list": "list", "global_list": "list",
    "watch": "watch", "global_watch": "watch",
}  # fmt: skip


class GoModules:
    """Packages of the Go modules of one release, read when asked for."""

    def __init__(self, version: str) -> None:
        self._folders: dict[str, Path] = {}
        for module, _ in _MODULES.values():
            command = ["go", "mod", "download", "-json", f"k8s.io/{module}@v{version}"]
            answer = subprocess.run(command, check=True, capture_output=True, cwd="/tmp")
            self._folders[module] = Path(json.loads(answer.stdout)["Dir"])
        self._packages: dict[str, GoPackage] = {}

    def package(self, full_name: str) -> GoPackage:
        """The package in which the type of a schema's full name is declared."""
        place = full_name.rsplit(".", 1)[0]
        if place not in self._packages:
            prefix = next(prefix for prefix in _MODULES if full_name.startswith(prefix))
            module, below = _MODULES[prefix]
            folder = self._folders[module] / below / place[len(prefix) :].replace(".", "/")
            self._packages[place] = read_package(folder)
        return self._packages[place]

    def find(self, full_name: str) -> GoType | None:
        """A type's declaration."""
        return self.package(full_name).types.get(full_name.rsplit(".", 1)[-1])

    def fields(self, full_name: str) -> dict[str, GoField]:
        """All fields by JSON name in upstream's order, those of embedded types in their place."""
        found: dict[str, GoField] = {}
        self._collect(full_name, self.find(full_name), found)
        return found

    def _collect(self, full_name: str, kind: GoType | None, found: dict[str, GoField]) -> None:
        if kind is None:
            return
        own = {field.json_name: field for field in kind.fields}
        for entry in kind.order:
            if not entry.startswith("+"):
                found[entry] = own[entry]
                continue
            name = entry[1:].lstrip("*")
            if name.endswith("TypeMeta"):
                for key in ("kind", "apiVersion"):
                    found[key] = GoField(key, "string", omit_empty=True, omit_zero=False)
            elif "." in name:  # embedded from another package: found by its own path
                alias, short = name.split(".")
                other = {"metav1": _META + short, "v1": "io.k8s.api.core.v1." + short}[alias]
                self._collect(other, self.find(other), found)
            else:
                self._collect(full_name, self.package(full_name).types.get(name), found)


class Table:
    """The table in the making: types reachable from what is served."""

    def __init__(self, schemas: dict[str, Any], go: GoModules, merge: dict[str, Any]) -> None:
        self._schemas = schemas
        self._go = go
        self._merge = merge
        self.types: dict[str, Any] = {}

    def add(self, full_name: str) -> None:
        """Take in a type and all it refers to."""
        if full_name in self.types or full_name in _SPECIAL:
            return
        schema = self._schemas[full_name]
        entry: dict[str, Any] = {}
        self.types[full_name] = entry
        if gvks := schema.get("x-kubernetes-group-version-kind"):
            entry["gvk"] = [[g["group"], g["version"], g["kind"]] for g in gvks]
        if required := schema.get("required"):
            entry["req"] = sorted(required)
        if schema.get("x-kubernetes-map-type") == "atomic":
            entry["atomic"] = 1
        go_fields = self._go.fields(full_name)
        properties = schema.get("properties", {})
        order = [name for name in go_fields if name in properties]
        order += [name for name in properties if name not in go_fields]
        for name in set(properties) - set(go_fields):
            print(f"no Go field: {full_name}.{name}")
        entry["f"] = {
            name: self._field(full_name, name, properties[name], go_fields.get(name))
            for name in order
        }

    def _field(
        self, owner: str, name: str, schema: dict[str, Any], go: GoField | None
    ) -> dict[str, Any]:
        entry: dict[str, Any] = {"t": self._wire(schema)}
        merge = self._merge.get(owner, {}).get("fields", {}).get(name, {})
        if kind := schema.get("x-kubernetes-list-type"):
            entry["l"] = kind
        if keys := schema.get("x-kubernetes-list-map-keys"):
            entry["k"] = keys
            element = self._merge.get(entry["t"][1:].removeprefix("@"), {}).get("fields", {})
            defaults = {
                key: element[key]["default"]
                for key in keys
                if element.get(key, {}).get("default") not in (None, "", 0)
            }
            if defaults:
                entry["kd"] = defaults
        if schema.get("x-kubernetes-map-type") == "atomic":
            entry["ma"] = 1
        if strategy := schema.get("x-kubernetes-patch-strategy"):
            entry["ps"] = strategy
        if key := schema.get("x-kubernetes-patch-merge-key"):
            entry["pk"] = key
        if merge.get("default") not in (None, "", 0, False, {}):
            entry["d"] = merge["default"]
        if go is not None:
            self._overlay(owner, entry, go)
        return entry

    def _overlay(self, owner: str, entry: dict[str, Any], go: GoField) -> None:
        """What Go says: `p` presence, `g` printed type, `e` enumeration, `d` default."""
        package = self._go.package(owner)
        pointer = go.type.startswith("*")
        value_struct = entry["t"][0] in "@qtmx" and not pointer
        if pointer:
            entry["p"] = "p"
        elif not go.omit_zero and (value_struct or not go.omit_empty):
            entry["p"] = "w"
        entry["g"] = go.type.removeprefix("*")
        short = go.type.removeprefix("*").removeprefix("[]").rsplit(".", 1)[-1]
        named = package.types.get(short)
        if named is not None and named.is_enum:
            entry["e"] = sorted(set(package.enums.get(short, [])))
        if go.default:
            entry["d"] = self._default(package, go.default)

    @staticmethod
    def _default(package: GoPackage, text: str) -> Any:
        if match := re.fullmatch(r"ref\((?:.*\.)?(\w+)\)", text):
            return package.constants[match[1]]
        return json.loads(text)

    def _wire(self, schema: dict[str, Any]) -> str:
        if ref := schema.get("$ref"):
            name = ref.removeprefix(_REF)
            if name in _SPECIAL:
                return _SPECIAL[name]
            self.add(name)
            return "@" + name
        kind = schema.get("type")
        kind = kind[0] if isinstance(kind, list) else kind
        if kind == "array":
            return "L" + self._wire(schema["items"])
        if kind == "object":
            inner = schema.get("additionalProperties")
            return "M" + self._wire(inner) if inner else "a"
        form = schema.get("format")
        return {
            ("string", "byte"): "y", ("string", None): "s", ("boolean", None): "b",
            ("integer", "int32"): "i4", ("integer", "int64"): "i8", ("number", "double"): "n",
        }[kind, form]  # fmt: skip


def read_resources(models: Path) -> list[dict[str, Any]]:
    """All resources of `lightkube-models`, subresources under their parents."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    waiting: list[tuple[tuple[str, str, str], dict[str, Any]]] = []
    for path in sorted((models / "lightkube" / "resources").glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.ClassDef):
                continue
            base = ast.unparse(node.bases[0]) if node.bases else ""
            for statement in node.body:
                if (
                    isinstance(statement, ast.Assign)
                    and ast.unparse(statement.targets[0]) == "_api_info"
                ):
                    _read_info(statement.value, base, found, waiting)
    for parent, sub in waiting:
        found[parent].setdefault("sub", []).append(sub)
    return list(found.values())


def _read_info(
    call: ast.expr, base: str, found: dict[Any, Any], waiting: list[tuple[Any, Any]]
) -> None:
    assert isinstance(call, ast.Call)
    args = {k.arg: k.value for k in call.keywords}
    group, version, kind = (ast.literal_eval(a) for a in args["resource"].args)  # type: ignore[attr-defined]
    plural = ast.literal_eval(args["plural"])
    verbs = sorted({_VERBS[v] for v in ast.literal_eval(args["verbs"])})
    if "action" in args:
        parent_group, parent_version, _ = (ast.literal_eval(a) for a in args["parent"].args)  # type: ignore[attr-defined]
        sub = {"n": ast.literal_eval(args["action"]), "gvk": [group, version, kind], "v": verbs}
        waiting.append(((parent_group, parent_version, plural), sub))
        return
    found[group, version, plural] = {
        "g": group, "v": version, "p": plural, "k": kind,
        "ns": "Namespaced" in base, "verbs": verbs,
    }  # fmt: skip


def served(resources: list[dict[str, Any]], schemas: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of GA versions whose kind this Kubernetes version has, in upstream's order."""
    kinds = {
        (g["group"], g["version"], g["kind"]): name
        for name, schema in schemas.items()
        for g in schema.get("x-kubernetes-group-version-kind", [])
    }
    result = []
    for resource in [*resources, *own_facts.RESOURCES]:
        key = (resource["g"], resource["v"], resource["k"])
        if resource["g"] not in own_facts.GROUPS or not re.fullmatch(r"v\d+", resource["v"]):
            continue
        if key not in kinds:
            continue
        name = resource["p"]
        entry = {**resource, "t": kinds[key]}
        entry["verbs"] = list(own_facts.VERBS.get(name, resource["verbs"]))
        entry["short"] = own_facts.SHORT_NAMES.get(name, [])
        entry["cat"] = list(own_facts.CATEGORIES.get(name, ()))
        subs = {sub["n"]: sub for sub in resource.get("sub", [])}
        core = own_facts.SUBRESOURCES.get(name, []) if resource["g"] == "" else []
        subs.update({sub["n"]: sub for sub in core})
        entry["sub"] = [subs[key] for key in sorted(subs)]
        entry["sv"] = own_facts.STORED_AS.get((resource["g"], name), [resource["g"], resource["v"]])
        result.append(entry)
    groups = list(own_facts.GROUPS)
    result.sort(key=lambda r: (groups.index(r["g"]), -int(r["v"][1:]), r["p"]))
    return result


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version")
    parser.add_argument("--schemas", type=Path, required=True, help="unpacked kubernetes-validate")
    parser.add_argument("--models", type=Path, required=True, help="unpacked lightkube-models")
    parser.add_argument("--go", required=True, help="version of the Go modules, 0.36.0")
    parser.add_argument("--merge", type=Path, required=True, help="merge-facts.json")
    options = parser.parse_args()
    folder = options.schemas / "kubernetes_validate" / "kubernetes-json-schema"
    definitions = folder / f"v{options.version}.0-local" / "_definitions.json"
    schemas = json.loads(definitions.read_text())["$defs"]
    merge = json.loads(options.merge.read_text())["types"]
    table = Table(schemas, GoModules(options.go), merge)
    resources = served(read_resources(options.models), schemas)
    for resource in resources:
        table.add(resource["t"])
        if resource["t"] + "List" in schemas:
            table.add(resource["t"] + "List")
        for sub in resource["sub"]:
            group, version, kind = sub["gvk"]
            for name, schema in schemas.items():
                if {"group": group, "version": version, "kind": kind} in schema.get(
                    "x-kubernetes-group-version-kind", []
                ):
                    table.add(name)
    for name in own_facts.OTHER_TYPES:
        table.add(name)
    about = {
        "made": dt.datetime.now(dt.UTC).date().isoformat(),  # noqa: TID251 - a tool
        "sources": [
            f"kubernetes-validate {_package_version(options.schemas, 'kubernetes_validate')}",
            f"lightkube-models {_package_version(options.models, 'lightkube_models')}",
            f"k8s.io/api, apimachinery, apiextensions-apiserver, kube-aggregator v{options.go}",
            "client-go apply schema (list keys and their defaults)",
        ],
    }
    data = {
        "about": about,
        "version": options.version,
        "types": dict(sorted(table.types.items())),
        "resources": resources,
    }
    target = Path(__file__).parent.parent / "src/ekslab/kube/api/schema/facts"
    target.mkdir(exist_ok=True)
    raw = json.dumps(data, separators=(",", ":")).encode()
    path = target / f"{options.version}.json.gz"
    path.write_bytes(gzip.compress(raw, mtime=0))
    print(f"{path}: {len(table.types)} types, {len(resources)} resources, {len(raw)} B,", end=" ")
    print(f"{path.stat().st_size} B packed")


def _package_version(folder: Path, name: str) -> str:
    return next(folder.glob(f"{name}-*.dist-info")).name.split("-")[1].removesuffix(".dist")


if __name__ == "__main__":
    main()
