"""Views of transactions: to submit one, those submitted here, and what is known of any."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from django.conf import settings
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework.parsers import FormParser
from rest_framework.request import Request
from rest_framework.response import Response

from ajo.api.params import path_hash
from ajo.api.problems import CONTENT_TYPE, invalid
from ajo.api.rendering import JSONParser
from ajo.api.schema import HASH
from ajo.api.throttles import client_address, throttle_chain_read
from ajo.api.views import ReadViewSet
from ajo.cache import Absent
from ajo.soroban.models import ChainTransaction, Checkpoint
from ajo.transactions.conflicts import Conflict
from ajo.transactions.envelope import EnvelopeRefused
from ajo.transactions.filters import TransactionFilter
from ajo.transactions.foreign import find_foreign
from ajo.transactions.forms import ConflictSerializer
from ajo.transactions.queries import Known, find_submitted, submitted, with_carried
from ajo.transactions.serializers import SubmissionSerializer, TransactionSerializer
from ajo.transactions.submit import submit
from ajo.transactions.waiting import MAX_WAIT, preferred_wait, wait_until_final

PREFER: Final = OpenApiParameter(
    "Prefer",
    str,
    OpenApiParameter.HEADER,
    description=f"`wait=N`: answer once the status is final, else after N seconds ({MAX_WAIT} at most) as it stands.",
)


class _MayWait(ReadViewSet):
    """A view that answers with one transaction, and may be asked to wait for its end."""

    serializer_class: Any = TransactionSerializer
    edge_cacheable = False  # a transaction changes between two passes of the sync, too

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self.began = time.monotonic()
        super().initial(request, *args, **kwargs)

    def answer(self, request: Request, known: Known, status: int = 200) -> Response:
        """Return the response, after the wait that the client prefers if the transaction is pending."""
        headers = {}
        seconds = preferred_wait(request) if known.is_stored else 0  # nobody follows those of others
        if seconds and (known.row.is_final or self._wait(known.row.hash, seconds, request)):
            headers["Preference-Applied"] = f"wait={seconds}"
            self.fresh = Checkpoint.objects.freshness()  # read before the row: an older label is right
            row = find_submitted(known.row.hash)
            known = with_carried([row])[0] if row else known
        return Response(self.get_serializer(known).data, status, headers=headers)

    def _wait(self, tx_hash: str, seconds: int, request: Request) -> bool:
        """Wait for the end, for so many seconds from the request's beginning. Return False where no place is free."""
        return wait_until_final(lambda: is_final(tx_hash), self.began + seconds, client_address(request))


def is_final(tx_hash: str) -> bool:
    """Return whether the end of a transaction that was submitted here is known."""
    return not ChainTransaction.objects.pending().filter(hash=tx_hash).exists()


@extend_schema_view(
    list=extend_schema(
        summary="Transactions that were submitted here, newest first",
        description="What this service took and follows, with what each of them carried. Transactions that others sent "
        "are not in this list: each is known by its hash.",
    )
)
class TransactionsViewSet(_MayWait):
    queryset = submitted()
    filterset_class = TransactionFilter
    parser_classes = (JSONParser, FormParser)

    def to_objects(self, rows: Sequence[Any]) -> Sequence[Known]:
        return with_carried(rows)

    @extend_schema(
        summary="Submit a signed transaction",
        description="Stores it, then sends it, and again until its end is proven. Posted again, however often: the "
        "same answer (200), one effect. SEP-7's callback posts the same field as a form.",
        request={
            "application/json": SubmissionSerializer,
            "application/x-www-form-urlencoded": SubmissionSerializer,
        },
        responses={
            202: OpenApiResponse(TransactionSerializer, "Taken."),
            200: OpenApiResponse(TransactionSerializer, "Known already."),
            (409, CONTENT_TYPE): ConflictSerializer,
        },
        parameters=[PREFER],
    )
    def create(self, request: Request) -> Response:
        body = SubmissionSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        text: str = body.validated_data["xdr"]
        if request.content_type.startswith("application/x-www-form-urlencoded"):
            text = text.replace(" ", "+")  # a plus that was sent unescaped, as wallets do
        done = submit(text.strip(), partial(throttle_chain_read, request), client_address(request))
        response = self.answer(request, done.known, 202 if done.is_new else 200)
        path = reverse("transaction", args=[done.known.row.hash])
        response.headers["Location"] = f"{settings.PUBLIC_URL}{path}"
        response.headers["Cache-Control"] = "no-store"
        return response

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, Conflict):
            return exc.to_problem()
        return super().handle_exception(invalid(xdr=str(exc)) if isinstance(exc, EnvelopeRefused) else exc)

    def _parameters(self) -> set[str]:
        return set() if self.action == "create" else super()._parameters()


class TransactionViewSet(_MayWait):
    queryset = submitted()
    pagination_class = None

    @extend_schema(
        summary="What is known of a transaction",
        description="Its state, what to do next (`retry`), and the contributions, payouts, refunds and events that it "
        "carried. Knows those that were submitted here and those of others; one that nobody knows is 404.",
        parameters=[HASH, PREFER],
    )
    def retrieve(self, request: Request, hash: str) -> Response:  # the path's word
        tx_hash = path_hash(hash)
        row = find_submitted(tx_hash)
        known = (
            with_carried([row])[0]
            if row
            else find_foreign(tx_hash, partial(throttle_chain_read, request), client_address(request))
        )
        if known is None:
            raise Absent("Nothing is known of this transaction.")
        return self.answer(request, known)
