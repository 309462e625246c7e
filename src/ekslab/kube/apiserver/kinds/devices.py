"""Dynamic resource allocation: what devices there are (upstream: `pkg/registry/resource`)."""

from ekslab.kube.api.requests import Object
from ekslab.kube.apiserver.kinds.strategy import CheckedOnly, Traits


class ResourceSliceStrategy(CheckedOnly):
    """Devices of one driver, on one node or many; checked for types only."""

    traits = Traits(
        checked_only=True,
        selectable=frozenset({"spec.driver", "spec.nodeName"}),
        unselectable="field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: {}",
    )

    def fields(self, obj: Object) -> dict[str, str]:
        """Driver and node."""
        spec = obj.get("spec") or {}
        return {
            **super().fields(obj),
            "spec.driver": spec.get("driver", ""),
            "spec.nodeName": spec.get("nodeName", ""),
        }
