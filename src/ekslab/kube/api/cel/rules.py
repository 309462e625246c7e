"""The rules of custom resources: `x-kubernetes-validations` of a structural schema.

Compile once per version of a definition, check with every write:

    validator = compile_rules(version["schema"]["openAPIV3Schema"])
    causes = validator.check(new, old) if validator else []

Upstream: apiextensions-apiserver `pkg/apiserver/schema/cel/{compilation,validation}.go`.
"""

from collections.abc import Mapping
from typing import Any

from ekslab.kube.api.errors import Cause


class Validator:
    """All rules of one schema and what lies below it."""

    def check(self, new: Any, old: Any = None, path: str = "") -> list[Cause]:
        """What is wrong with `new`, which replaces `old` (None on create), at `path`."""
        raise NotImplementedError


def compile_rules(schema: Mapping[str, Any], *, is_root: bool = True) -> Validator | None:
    """The rules of a structural schema (`openAPIV3Schema` as it is on the wire); None if it has
    none. A rule that does not compile is reported by `check`, as upstream.
    """
    raise NotImplementedError


def definition_errors(schema: Mapping[str, Any], path: str) -> list[Cause]:
    """What is wrong with the rules of a definition: texts that do not compile, costs over the
    limit, messages with line breaks. `path` is the schema's, `spec.versions[0].schema...`.
    """
    raise NotImplementedError
