"""Admission by expressions: ValidatingAdmissionPolicy and its bindings.

    plugin     which policies there are; nothing of CEL is loaded while there is none
    matching   which requests a policy or binding is about
    inputs     the values that expressions see of a request
    policies   a policy, compiled, and what it says of a request

Upstream: apiserver `pkg/admission/plugin/policy`.
"""
