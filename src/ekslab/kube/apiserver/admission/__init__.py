"""Admission: the built-in plugins that change or refuse objects on their way in.

Upstream: `plugin/pkg/admission/*` and apiserver `pkg/admission/plugin/*`; those that kube-apiserver
turns on by default, and NodeRestriction, which EKS turns on. `defaults` has the list in order.
"""

from ekslab.kube.apiserver.admission.chain import AdmissionChain
from ekslab.kube.apiserver.admission.defaults import default_plugins

__all__ = ["AdmissionChain", "default_plugins"]
