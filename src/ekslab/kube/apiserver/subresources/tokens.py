"""`serviceaccounts/token`: tokens on request (`kubectl create token`, kubelets).

Upstream: `pkg/registry/core/serviceaccount/storage/token.go`. The signer comes from outside.
"""

from typing import Final, Protocol

from ekslab.kube.api.ports import Answer
from ekslab.kube.api.requests import ApiRequest, Object
from ekslab.kube.api.schema.catalog import Catalog
from ekslab.kube.apiserver.decoding import Decoder
from ekslab.kube.apiserver.options import write_options
from ekslab.kube.apiserver.registry import Served

_TYPE: Final = "io.k8s.api.authentication.v1.TokenRequest"


class IssuerDocuments(Protocol):
    """What an issuer publishes, so that others can verify its tokens."""

    def openid_configuration(self, jwks_uri: str) -> Object:
        """The issuer's discovery document."""

    def jwks(self) -> Object:
        """The public keys."""


class TokenIssuer(Protocol):
    """Carries out TokenRequests."""

    @property
    def format(self) -> IssuerDocuments:
        """How the tokens are written and signed."""

    def request(
        self, namespace: str, name: str, token_request: Object, *, warnings: list[str]
    ) -> Object:
        """The request with its token.

        Raises:
            ApiError: 404, 400, 409 or 422, in upstream's words.
        """


class TokenDoor:
    """Answers TokenRequests."""

    def __init__(self, decoder: Decoder, catalog: Catalog, issuer: TokenIssuer) -> None:
        self._decoder = decoder
        self._schema = catalog.type(_TYPE)
        self._issuer = issuer

    async def handle(self, _served: Served, request: ApiRequest) -> Answer:
        """Issue a token for the service account of the path."""
        body = self._decoder.typed(
            request,
            schema=self._schema,
            kind="TokenRequest",
            api_version="authentication.k8s.io/v1",
            mode=write_options(request).field_validation,
        )
        answer = self._issuer.request(
            request.namespace, request.name, body, warnings=request.warnings
        )
        return Answer(code=201, obj=answer)
