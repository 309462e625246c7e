"""Follows CertificateSigningRequests. Key: the name."""

import base64
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from ekslab.kit.clock import parse_rfc3339, rfc3339
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import CERTIFICATE_SIGNING_REQUESTS
from ekslab.kube.controllers.certificates import plan
from ekslab.kube.runtime.controller import DONE, Controller, Result, Toolbox

Sign = Callable[[bytes, Sequence[str], int], bytes]
"""Issues for a PEM request, usages and seconds of life: the certificate as PEM."""
_REVIEWS: Final = Resource("authorization.k8s.io", "v1", "subjectaccessreviews")


class CertificateController(Controller[str]):
    """Upstream's `csrapproving`, `csrsigning` and `csrcleaner`, which share an identity."""

    name: ClassVar[str] = "certificate-controller"

    def __init__(self, tools: Toolbox, *, sign: Sign) -> None:
        super().__init__(tools)
        self._sign = sign
        self._requests = self.watch(CERTIFICATE_SIGNING_REQUESTS, self._on_request)

    def _on_request(self, _old: Item | None, new: Item | None) -> None:
        if new is not None:
            self.queue.add(new.name)

    async def reconcile(self, key: str) -> Result:
        """Approve, issue, or remove it."""
        item = self._requests.get("", key)
        if item is None:
            return DONE
        csr = item.object
        left_s = self._left_s(csr)
        if left_s <= 0:
            await self._delete(key)
            return DONE
        if plan.is_to_be_signed(csr):
            await self._issue(csr)
        else:
            await self._approve(csr)
        return Result(requeue_after_s=left_s)

    async def _approve(self, csr: Object) -> None:
        for subresource, message in plan.approvals(csr):
            review = await self.client.create(_REVIEWS, plan.access_review(csr, subresource))
            if review["status"]["allowed"]:
                approved = plan.approved(csr, message, self._now())
                await self.client.update(
                    CERTIFICATE_SIGNING_REQUESTS, approved, subresource="approval"
                )
                return

    async def _issue(self, csr: Object) -> None:
        spec = csr["spec"]
        asked = plan.read(spec["request"])
        usages = spec.get("usages") or ()
        why = (
            "unable to parse csr"
            if asked is None
            else plan.problem(spec["signerName"], asked, usages)
        )
        if why:
            done = plan.failed(csr, why, self._now())
        else:
            pem = self._sign(base64.b64decode(spec["request"]), usages, plan.life_s(csr))
            done = plan.issued(csr, pem)
        await self.client.update(CERTIFICATE_SIGNING_REQUESTS, done, subresource="status")

    async def _delete(self, name: str) -> None:
        try:
            await self.client.delete(CERTIFICATE_SIGNING_REQUESTS, name)
        except ApiError as error:
            if error.reason != "NotFound":
                raise

    def _left_s(self, csr: Object) -> float:
        born_s = parse_rfc3339(csr["metadata"]["creationTimestamp"])
        return born_s + plan.kept_s(csr) - self.clock.now()

    def _now(self) -> str:
        return rfc3339(self.clock.now())
