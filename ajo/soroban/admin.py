"""Admin of the chain's tables: checkpoint, events, gaps, runs, nodes, undecoded entries. All of it is read-only."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from django.contrib import admin
from django.utils.safestring import SafeString

from ajo.adminkit import display
from ajo.adminkit.admins import ReadOnlyAdmin
from ajo.adminkit.columns import column, json_column, multiline_column, raw_column, text_column
from ajo.adminkit.links import id_column_model
from ajo.adminkit.lists import Search, choice_filter, column_options, event_id_search, hash_search, number_search
from ajo.soroban.models import (
    Checkpoint,
    ContractEvent,
    HistoryGap,
    Lease,
    RpcNode,
    SyncRun,
    UndecodedEntry,
)

# Types of events to filter by (docs/chain.md §1.2). Others are found by transaction or group.
EVENT_TYPES = (
    "created joined contrib payout complete cancel refreq refvote refund emrefund cycle late pendistr executable_update"
)


class GroupLinkMixin:
    """A column for rows with a `group_id`: a link to the group, whose table lies in an app above this one."""

    @admin.display(description="Group")
    def its_group(self, row: Any) -> SafeString | str:
        """Return the link; the plain id where no app has registered `group_id`."""
        if row.group_id is None:
            return "-"
        model = id_column_model("group_id")
        return str(row.group_id) if model is None else display.change_link(model, row.group_id, str(row.group_id))


LIFETIME_FIELDS = ("instance_ledger", "live_until_ledger", "code_live_until_ledger")


@admin.register(Checkpoint)
class CheckpointAdmin(ReadOnlyAdmin):
    list_display = (
        "contract",
        "network_passphrase",
        "ledger",
        "chain_ledger",
        "chain_advanced_at",
        "is_loaded",
        "halted",
    )
    fieldsets = (
        (None, {"fields": ("network_passphrase", "contract", "dataset_id", "is_loaded", "halted")}),
        (
            "Followed",
            {"fields": ("cursor", "start_ledger", "ledger", "drift_state", "drift_metadata", "drift_history")},
        ),
        ("Network", {"fields": ("chain_ledger", "chain_closed_at", "chain_advanced_at")}),
        (
            "Contract",
            {"fields": ("admin", "paused", "group_count", "wasm_hash", *LIFETIME_FIELDS)},
        ),
        ("Raw entry", {"fields": ("instance",), "classes": ("collapse",)}),
    )
    deferred_columns = ("instance_xdr",)
    instance = raw_column("instance_xdr", "Instance entry")


TypeFilter = choice_filter("type", column_options("type", [(name, name) for name in EVENT_TYPES.split()]))


@admin.register(ContractEvent)
class ContractEventAdmin(GroupLinkMixin, ReadOnlyAdmin):
    list_display = ("id", "shown_type", "its_group", "round", "short_data", "transaction", "ledger", "created_at")
    list_filter = (TypeFilter,)
    searches: ClassVar = (
        number_search("group id", "group_id"),
        hash_search("transaction hash", "tx_hash"),
        event_id_search("event id", "pk"),
    )
    indexed_lookups = frozenset({"group_id", "tx_hash"})
    secondary_lookups = frozenset({"round"})
    deferred_columns = ("topics", "value")
    fieldsets = (
        (None, {"fields": ("id", "shown_type", "is_system", "its_group", "round", "decoded")}),
        ("Chain", {"fields": ("tx_hash", "ledger", "created_at")}),
        ("Raw event", {"fields": ("raw_topics", "raw_value"), "classes": ("collapse",)}),
    )
    shown_type = text_column("type", "Type")
    short_data = json_column("data", "Data", 80, missing="not decoded")
    decoded = json_column("data", "Data", missing="not decoded")
    raw_topics = column("topics", "Topics", lambda topics: display.preformatted(" ".join(map(str, topics))))
    raw_value = raw_column("value", "Value")

    @admin.display(description="Transaction")
    def transaction(self, row: ContractEvent) -> SafeString:
        return display.changelist_link(ContractEvent, display.shortened(row.tx_hash), tx_hash=row.tx_hash)


GapFilter = choice_filter(
    "events",
    {
        "missing": ("missing", {"filled_at": None}),
        "filled": ("filled later by a node with longer retention", {"filled_at__isnull": False}),
    },
)


@admin.register(HistoryGap)
class HistoryGapAdmin(ReadOnlyAdmin):
    list_display = ("from_ledger", "to_ledger", "why", "found_at", "recovered_at", "filled_at")
    list_filter = (GapFilter,)
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
    short_error = text_column("last_error", "Last error", 80)
    whole_error = multiline_column("last_error", "Last error")


RunFilter = choice_filter(
    "runs",
    {
        "sync": ("sync", {"kind": SyncRun.Kind.SYNC}),
        "sweep": ("sweep", {"kind": SyncRun.Kind.SWEEP}),
        "deep": ("deep sweep", {"kind": SyncRun.Kind.DEEP_SWEEP}),
        "rebuild": ("rebuild", {"kind": SyncRun.Kind.REBUILD}),
        "redecode": ("redecode", {"kind": SyncRun.Kind.REDECODE}),
        **column_options("outcome", SyncRun.Outcome.choices),
    },
)


@admin.register(SyncRun)
class SyncRunAdmin(ReadOnlyAdmin):
    list_display = ("id", "kind", "started_at", "finished_at", "outcome", "ledger", "short_counts", "short_reason")
    list_filter = (RunFilter,)
    searches: ClassVar = (number_search("run id", "pk"),)
    fields = ("kind", "started_at", "finished_at", "outcome", "whole_reason", "ledger", "all_counts")
    short_counts = json_column("counts", "Counts", 100)
    all_counts = json_column("counts", "Counts")
    short_reason = text_column("reason", "Reason", 80)
    whole_reason = multiline_column("reason", "Reason")


@admin.register(UndecodedEntry)
class UndecodedEntryAdmin(GroupLinkMixin, ReadOnlyAdmin):
    list_display = ("id", "its_group", "short_error", "ledger", "found_at")
    searches: ClassVar = (
        event_id_search("event id", "key"),
        number_search("group id", "group_id"),
        Search("ledger key", re.compile(r"[A-Za-z0-9+/=]{30,}"), lambda rows, term: rows.filter(key=term)),
    )
    deferred_columns = ("xdr",)
    fields = ("ledger_key", "its_group", "whole_error", "ledger", "found_at", "raw_xdr")
    ledger_key = raw_column("key", "Key")
    short_error = text_column("error", "Error", 120)
    whole_error = multiline_column("error", "Error")
    raw_xdr = raw_column("xdr", "XDR")
