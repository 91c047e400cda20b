"""Views of transactions: those submitted here, and what is known of any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from ajo.api.params import path_hash
from ajo.api.schema import HASH
from ajo.api.views import ReadViewSet
from ajo.cache import Absent
from ajo.transactions.filters import TransactionFilter
from ajo.transactions.queries import Shown, find_announced, find_submitted, show, submitted
from ajo.transactions.serializers import TransactionSerializer


@extend_schema_view(list=extend_schema(summary="Transactions that were submitted here, newest first"))
class TransactionsViewSet(ReadViewSet):
    queryset = submitted()
    serializer_class = TransactionSerializer
    filterset_class = TransactionFilter
    edge_cacheable = False  # a transaction changes between two passes of the sync, too

    def to_objects(self, rows: Sequence[Any]) -> Sequence[Shown]:
        return show(rows)


class TransactionViewSet(ReadViewSet):
    queryset = submitted()
    serializer_class = TransactionSerializer
    pagination_class = None
    edge_cacheable = False

    @extend_schema(summary="What is known of a transaction", parameters=[HASH])
    def retrieve(self, request: Request, hash: str) -> Response:  # the path's word
        tx_hash = path_hash(hash)
        row = find_submitted(tx_hash)
        shown = show([row])[0] if row else find_announced(tx_hash)
        if shown is None:
            raise Absent("Nothing is known of this transaction.")
        return Response(self.get_serializer(shown).data)
