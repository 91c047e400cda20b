"""The menu of the admin: what people work with first, the engine's tables last, each under a name of its own."""

from __future__ import annotations

from typing import Any, Final

# Section, then tables by label with the name that people have for them.
MENU: Final[tuple[tuple[str, dict[str, str]], ...]] = (
    (
        "Savings",
        {
            "groups.Group": "Savings groups",
            "groups.User": "Wallets",
            "groups.WalletLabel": "Wallet labels",
            "contributions.Contribution": "Contributions",
            "contributions.Payout": "Payouts",
            "contributions.Refund": "Refunds",
            "soroban.ChainTransaction": "Transactions",
        },
    ),
    (
        "More about groups",
        {
            "groups.GroupMember": "Members",
            "groups.RefundRequest": "Refund votes",
            "groups.Token": "Tokens",
            "soroban.ContractEvent": "Events",
        },
    ),
    (
        "People and access",
        {
            "auth.User": "Staff",
            "auth.Group": "Roles",
            "admin.LogEntry": "Audit: changes",
            "axes.AccessLog": "Audit: log-ins",
            "axes.AccessAttempt": "Audit: failed log-ins",
            "otp_totp.TOTPDevice": "Second factors",
            "otp_static.StaticDevice": "Recovery codes",
        },
    ),
    (
        "Engine",
        {
            "soroban.SyncRun": "Runs",
            "ops.Heartbeat": "Heartbeats",
            "soroban.RpcNode": "RPC nodes",
            "soroban.Checkpoint": "Checkpoint",
            "soroban.HistoryGap": "Gaps in history",
            "soroban.UndecodedEntry": "Undecoded entries",
            "soroban.Lease": "Leases",
        },
    ),
)
OTHERS: Final = "Others"
TABLE_NAMES: Final = {label: name for _, names in MENU for label, name in names.items()}


def arrange(apps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return Django's list of apps as the menu's sections. Tables that MENU does not name come last, as they are."""
    tables = {entry["model"]._meta.label: entry for app in apps for entry in app["models"]}
    sections = []
    for title, names in MENU:
        entries = [{**tables.pop(label), "name": name} for label, name in names.items() if label in tables]
        sections.append(_section(title, entries))
    sections.append(_section(OTHERS, list(tables.values())))
    return [section for section in sections if section["models"]]


def _section(title: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    label = title.lower().replace(" ", "-")
    address = entries[0]["admin_url"] if entries else ""
    return {"name": title, "app_label": label, "app_url": address, "has_module_perms": True, "models": entries}
