"""Admission webhooks: programs of the user's that look at writes, and change or refuse them.

    plugins         the two plugins of the chain; all that is loaded where nobody has webhooks
    configurations  MutatingWebhookConfigurations and their twin, read for calling
    matching        which of them want to see a request
    views           the objects of a request in the version a webhook asks for, and back
    reviews         AdmissionReview: the question and the answer
    calling         one HTTPS call, and how its failures are worded
    services        where a Service can be reached on this machine
    dispatching     the order of the calls, and what becomes of their answers

Upstream: apiserver `pkg/admission/plugin/webhook`, `pkg/util/webhook`.
"""
