"""Staff's view of the chain: how far it has been read, what it announced, what could not be read."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Model
from django.utils.safestring import SafeString

from ajo.adminkit import display
from ajo.adminkit.admins import ReadOnlyAdmin
from ajo.adminkit.lists import Choice, Search, event_id, number, tx_hash
from ajo.soroban.models import (
    ChainTransaction,
    Checkpoint,
    ContractEvent,
    HistoryGap,
    Lease,
    RpcNode,
    SyncRun,
    UndecodedEntry,
)

# The first topics of the contract's events; any other is found by its transaction or group.
TOPICS = (
    "created joined contrib payout complete cancel refreq refvote refund emrefund cycle late pendistr executable_update"
)


class GroupLinkMixin:
    """A row that speaks of a group by the contract's number."""

    group_model: ClassVar[type[Model] | None] = None  # set by the app that has groups, which lies above this one

    @admin.display(description="Group")
    def its_group(self, row: Any) -> SafeString | str:
        if row.group_id is None:
            return "-"
        text = str(row.group_id)
        return (
            text
            if GroupLinkMixin.group_model is None
            else display.change_link(GroupLinkMixin.group_model, row.group_id, text)
        )


ENDS = ("instance_ledger", "live_until_ledger", "code_live_until_ledger")


@admin.register(Checkpoint)
class CheckpointAdmin(ReadOnlyAdmin):
    list_display = ("contract", "network_passphrase", "ledger", "chain_ledger", "heard_at", "is_loaded", "halted")
    fieldsets = (
        (None, {"fields": ("network_passphrase", "contract", "dataset_id", "is_loaded", "halted")}),
        (
            "Followed",
            {"fields": ("cursor", "start_ledger", "ledger", "drift_state", "drift_metadata", "drift_history")},
        ),
        ("Network", {"fields": ("chain_ledger", "chain_closed_at", "heard_at")}),
        (
            "Contract",
            {"fields": ("admin", "paused", "group_count", "wasm_hash", *ENDS)},
        ),
        ("Raw entry", {"fields": ("instance",), "classes": ("collapse",)}),
    )
    not_in_list = ("instance_xdr",)

    @admin.display(description="Instance entry")
    def instance(self, row: Checkpoint) -> SafeString:
        return display.preformatted(row.instance_xdr)


class TopicChoice(Choice):
    title = "type"
    parameter_name = "type"
    options: ClassVar = {topic: (topic, {"type": topic}) for topic in TOPICS.split()}


@admin.register(ContractEvent)
class ContractEventAdmin(GroupLinkMixin, ReadOnlyAdmin):
    list_display = ("id", "shown_type", "its_group", "round", "short_data", "transaction", "ledger", "created_at")
    list_filter = (TopicChoice,)
    searches: ClassVar = (
        number("group id", "group_id"),
        tx_hash("transaction hash", "tx_hash"),
        event_id("event id", "pk"),
    )
    indexed_lookups = frozenset({"group_id", "tx_hash"})
    narrowed_further_by = frozenset({"round"})
    not_in_list = ("topics", "value")
    fieldsets = (
        (None, {"fields": ("id", "shown_type", "is_system", "its_group", "round", "decoded")}),
        ("Chain", {"fields": ("tx_hash", "ledger", "created_at")}),
        ("Raw event", {"fields": ("raw_topics", "raw_value"), "classes": ("collapse",)}),
    )

    @admin.display(description="Type")
    def shown_type(self, row: ContractEvent) -> SafeString:
        return display.safe_text(row.type)

    @admin.display(description="Data")
    def short_data(self, row: ContractEvent) -> SafeString | str:
        return "not decoded" if row.data is None else display.as_json(row.data, 80)

    @admin.display(description="Data")
    def decoded(self, row: ContractEvent) -> SafeString | str:
        return "not decoded" if row.data is None else display.as_json(row.data)

    @admin.display(description="Transaction")
    def transaction(self, row: ContractEvent) -> SafeString:
        return display.changelist_link(ContractEvent, display.shortened(row.tx_hash), tx_hash=row.tx_hash)

    @admin.display(description="Topics")
    def raw_topics(self, row: ContractEvent) -> SafeString:
        return display.preformatted(" ".join(map(str, row.topics)))

    @admin.display(description="Value")
    def raw_value(self, row: ContractEvent) -> SafeString:
        return display.preformatted(row.value)


class Missing(Choice):
    title = "events"
    parameter_name = "events"
    options: ClassVar = {
        "missing": ("missing", {"filled_at": None}),
        "filled": ("told later by a node with a longer memory", {"filled_at__isnull": False}),
    }


@admin.register(HistoryGap)
class HistoryGapAdmin(ReadOnlyAdmin):
    list_display = ("from_ledger", "to_ledger", "why", "found_at", "recovered_at", "filled_at")
    list_filter = (Missing,)
    fields = (
        "network_passphrase", "contract", "from_ledger", "to_ledger", "why", "found_at", "recovered_at", "filled_at",
    )  # fmt: skip


@admin.register(Lease)
class LeaseAdmin(ReadOnlyAdmin):
    list_display = fields = ("name", "holder", "until")


@admin.register(RpcNode)
class RpcNodeAdmin(ReadOnlyAdmin):
    list_display = ("name", "failures", "left_until", "answered_at", "failed_at", "protocol_version", "short_error")
    fields = ("name", "failures", "left_until", "answered_at", "failed_at", "protocol_version", "whole_error")

    @admin.display(description="Last error")
    def short_error(self, row: RpcNode) -> SafeString:
        return display.safe_text(row.last_error, 80)

    @admin.display(description="Last error")
    def whole_error(self, row: RpcNode) -> SafeString:
        return display.safe_multiline(row.last_error)


class RunChoice(Choice):
    title = "runs"
    parameter_name = "runs"
    options: ClassVar = {
        "sync": ("sync", {"kind": SyncRun.Kind.SYNC}),
        "sweep": ("sweep", {"kind": SyncRun.Kind.SWEEP}),
        "deep": ("deep sweep", {"kind": SyncRun.Kind.DEEP_SWEEP}),
        "rebuild": ("rebuild", {"kind": SyncRun.Kind.REBUILD}),
        "redecode": ("redecode", {"kind": SyncRun.Kind.REDECODE}),
        **{value: (label, {"outcome": value}) for value, label in SyncRun.Outcome.choices},
    }


@admin.register(SyncRun)
class SyncRunAdmin(ReadOnlyAdmin):
    list_display = ("id", "kind", "started_at", "finished_at", "outcome", "ledger", "short_counts", "short_reason")
    list_filter = (RunChoice,)
    searches: ClassVar = (number("run id", "pk"),)
    fields = ("kind", "started_at", "finished_at", "outcome", "whole_reason", "ledger", "all_counts")

    @admin.display(description="Counts")
    def short_counts(self, row: SyncRun) -> SafeString:
        return display.as_json(row.counts, 100)

    @admin.display(description="Counts")
    def all_counts(self, row: SyncRun) -> SafeString:
        return display.as_json(row.counts)

    @admin.display(description="Reason")
    def short_reason(self, row: SyncRun) -> SafeString:
        return display.safe_text(row.reason, 80)

    @admin.display(description="Reason")
    def whole_reason(self, row: SyncRun) -> SafeString:
        return display.safe_multiline(row.reason)


@admin.register(UndecodedEntry)
class UndecodedEntryAdmin(GroupLinkMixin, ReadOnlyAdmin):
    list_display = ("id", "its_group", "short_error", "ledger", "found_at")
    searches: ClassVar = (
        event_id("event id", "key"),
        number("group id", "group_id"),
        Search("ledger key", re.compile(r"[A-Za-z0-9+/=]{30,}"), lambda rows, term: rows.filter(key=term)),
    )
    not_in_list = ("xdr",)
    fields = ("ledger_key", "its_group", "whole_error", "ledger", "found_at", "raw_xdr")

    @admin.display(description="Key")
    def ledger_key(self, row: UndecodedEntry) -> SafeString:
        return display.preformatted(row.key)

    @admin.display(description="Error")
    def short_error(self, row: UndecodedEntry) -> SafeString:
        return display.safe_text(row.error, 120)

    @admin.display(description="Error")
    def whole_error(self, row: UndecodedEntry) -> SafeString:
        return display.safe_multiline(row.error)

    @admin.display(description="XDR")
    def raw_xdr(self, row: UndecodedEntry) -> SafeString:
        return display.preformatted(row.xdr)


class StatusChoice(Choice):
    title = "status"
    parameter_name = "status"
    options: ClassVar = {value: (label, {"status": value}) for value, label in ChainTransaction.Status.choices}


@admin.register(ChainTransaction)
class ChainTransactionAdmin(ReadOnlyAdmin):
    ordering = ("-submitted_ledger", "-hash")
    list_display = ("hash", "status", "submitted_ledger", "ledger", "created_at", "updated_at")
    list_filter = (StatusChoice,)
    searches: ClassVar = (tx_hash("transaction hash", "pk"),)
    not_in_list = ("xdr",)
    fields = ("hash", "status", "events", "submitted_ledger", "ledger", "created_at", "updated_at", "raw_xdr")

    @admin.display(description="Events")
    def events(self, row: ChainTransaction) -> SafeString:
        return display.changelist_link(ContractEvent, "what it announced", tx_hash=row.hash)

    @admin.display(description="Signed envelope")
    def raw_xdr(self, row: ChainTransaction) -> SafeString:
        return display.preformatted(row.xdr)
