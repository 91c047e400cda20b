"""`GET status/`: how far the tables follow the chain. No addresses of servers, no keys."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

import ajo
from ajo.api.fields import AddressField, TimeField, U32Field, U64StringField
from ajo.api.views import ReadViewSet
from ajo.ops.facts import last_run
from ajo.soroban.models import Checkpoint, HistoryGap, SyncRun, UndecodedEntry
from groups.models import Token

MAX_GAPS = 100  # the newest ones


class RunSerializer(serializers.Serializer[SyncRun]):
    started_at = TimeField(help_text="When it began.")
    finished_at = TimeField(allow_null=True, help_text="When it ended; null while it runs.")
    outcome = serializers.ChoiceField(read_only=True, choices=SyncRun.Outcome.choices, help_text="How it ended.")
    ledger = U32Field(allow_null=True, help_text="The ledger that it reached; null if none.")
    counts = serializers.DictField(
        read_only=True, child=serializers.IntegerField(), help_text="What it read and wrote, by name."
    )


class GapSerializer(serializers.Serializer[HistoryGap]):
    """Ledgers whose events are missing: no node that was asked had them."""

    from_ledger = U32Field(help_text="The first ledger of the gap.")
    to_ledger = U32Field(help_text="The last one.")
    found_at = TimeField(help_text="When it was found.")
    why = serializers.CharField(read_only=True, help_text="Why these events cannot be had.")
    recovered_at = TimeField(allow_null=True, help_text="When what happened in it was recovered from the entries.")


class StatusSerializer(serializers.Serializer[Any]):
    version = serializers.CharField(read_only=True, help_text="The version of the service that answers.")
    network_passphrase = serializers.CharField(
        read_only=True, allow_null=True, help_text="The network that is followed; null before the first sync."
    )
    contract = AddressField(allow_null=True, help_text="The contract that is followed; null before the first sync.")
    latest_ledger = U32Field(help_text="The sync's: everything announced up to it is in the tables.")
    chain_ledger = U32Field(help_text="The network's, as last heard.")
    lag_seconds = serializers.IntegerField(
        read_only=True, allow_null=True, help_text="Since the newest ledger that was heard of closed."
    )
    stale = serializers.BooleanField(
        read_only=True, help_text="Whether the chain has been silent for longer than the operator allows."
    )
    paused = serializers.BooleanField(read_only=True, allow_null=True, help_text="Whether the contract is.")
    group_count = U64StringField(help_text="Groups that the contract has made.")
    halted = serializers.CharField(
        read_only=True, allow_null=True, help_text="Why the sync waits for a person, and what they can do."
    )
    last_sync = RunSerializer(read_only=True, allow_null=True, help_text="The last pass of the sync.")
    last_sweep = RunSerializer(
        read_only=True, allow_null=True, help_text="The last comparison of all groups with the chain."
    )
    last_deep_sweep = RunSerializer(
        read_only=True, allow_null=True, help_text="The last proof of a share of the groups, history included."
    )
    gaps = GapSerializer(
        many=True, read_only=True, help_text="The newest gaps in the event history that are not filled."
    )
    drift_total = serializers.IntegerField(read_only=True, help_text="Differences that no event announced.")
    drift = serializers.DictField(read_only=True, child=serializers.IntegerField(), help_text="The same, by kind.")
    undecoded = serializers.IntegerField(
        read_only=True, help_text="Entries and events that this version cannot decode."
    )
    short_tokens = serializers.IntegerField(
        read_only=True,
        help_text="Tokens of which the contract was last seen to hold less than it owes, by more than the premiums "
        "that it booked and collected from nobody.",
    )


class StatusViewSet(ReadViewSet):
    queryset: QuerySet[Checkpoint] = Checkpoint.objects.all()
    serializer_class = StatusSerializer
    pagination_class = None
    edge_cacheable = False

    @extend_schema(
        summary="How far this service follows the chain",
        description="The sync's ledger beside the network's, how long the chain has been silent, what the last runs "
        "did, and what the tables are known to lack. No addresses of servers, no keys.",
    )
    def retrieve(self, request: Request) -> Response:
        checkpoint = Checkpoint.objects.current() or Checkpoint()
        known = checkpoint.pk is not None
        closed_at = checkpoint.chain_closed_at
        lag = None if closed_at is None else max(0, int((timezone.now() - closed_at).total_seconds()))
        status = {
            "version": ajo.__version__,
            "network_passphrase": checkpoint.network_passphrase if known else None,
            "contract": checkpoint.contract if known else None,
            "latest_ledger": checkpoint.ledger,
            "chain_ledger": checkpoint.chain_ledger,
            "lag_seconds": lag,
            "stale": self.fresh is None or self.fresh.stale,
            "paused": checkpoint.paused if known else None,
            "group_count": checkpoint.group_count,
            "halted": (checkpoint.halt_reason or None) if known else None,
            "last_sync": _last(SyncRun.Kind.SYNC),
            "last_sweep": _last(SyncRun.Kind.SWEEP),
            "last_deep_sweep": _last(SyncRun.Kind.DEEP_SWEEP),
            "gaps": list(HistoryGap.objects.missing().order_by("-id")[:MAX_GAPS]),
            "drift_total": checkpoint.drift_total,
            "drift": checkpoint.drift,
            "undecoded": UndecodedEntry.objects.count(),
            "short_tokens": Token.objects.short().count(),
        }
        return Response(self.get_serializer(status).data)


def _last(kind: SyncRun.Kind) -> SyncRun | None:
    """Return the newest run that ended; before the first has ended, the one that is running."""
    return last_run(kind) or SyncRun.objects.filter(kind=kind).order_by("-id").first()
