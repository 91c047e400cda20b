"""Building transactions over HTTP: POST transactions/build/ and transactions/prepare/."""

from __future__ import annotations

from typing import Any, Final

from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ajo.api.problems import CONTENT_TYPE
from ajo.api.rendering import JSONParser, JSONRenderer
from ajo.api.throttles import ReadThrottle, client_address, throttle_chain_read
from ajo.api.views import check_query, preflight
from ajo.transactions.build import build
from ajo.transactions.build_serializers import BuildSerializer, BuiltSerializer, PrepareSerializer
from ajo.transactions.conflicts import Conflict
from ajo.transactions.forms import ConflictSerializer
from ajo.transactions.prepare import prepare

RESPONSES: Final[dict[Any, Any]] = {200: BuiltSerializer, (409, CONTENT_TYPE): ConflictSerializer}


class BuildingView(APIView):
    """A POST that asks the chain and stores nothing. It takes no cookies, so no other site's page can misuse one."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (ReadThrottle,)
    parser_classes = (JSONParser,)
    renderer_classes = (JSONRenderer,)
    metadata_class = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method == "POST":
            check_query(request, set())

    def options(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        return preflight(self.allowed_methods)

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, Conflict):
            return exc.to_problem()
        return super().handle_exception(exc)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        final = super().finalize_response(request, response, *args, **kwargs)
        final.headers["Cache-Control"] = "no-store"
        return final


class BuildView(BuildingView):
    """An unsigned transaction for one function of the contract, simulated."""

    @extend_schema(
        operation_id="transactions_build",
        summary="Build an unsigned transaction",
        description="One call of the contract, simulated on the newest ledger, with the fee, the limits and the "
        "authorizations that it needs. Nothing is stored and no key is asked for: the wallet signs `xdr`, or opens "
        "`uri`. Where `auth_entries` is not empty, others have to sign them first: see `prepare/`.",
        request=BuildSerializer,
        responses=RESPONSES,
    )
    def post(self, request: Request) -> Response:
        body = BuildSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        throttle_chain_read(request)
        return Response(BuiltSerializer(build(body.request(), client_address(request))).data)


class PrepareView(BuildingView):
    """The same transaction with signed authorization entries, simulated again with them."""

    @extend_schema(
        operation_id="transactions_prepare",
        summary="Put signed authorizations into a built transaction",
        description="Takes what `build/` gave, and either its `auth_entries` as wallets signed them or signatures of "
        "their preimages. Simulates the call again with them, as it will run, so the fee and the hash are new: the "
        "source's wallet signs this answer's `xdr`.",
        request=PrepareSerializer,
        responses=RESPONSES,
    )
    def post(self, request: Request) -> Response:
        body = PrepareSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        throttle_chain_read(request)
        return Response(BuiltSerializer(prepare(**body.validated_data, client=client_address(request))).data)
