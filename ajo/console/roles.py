"""The roles of staff: Django groups with the permissions of each job. Staff status alone shows nothing.

Who may do more, such as making accounts, is a superuser, or gets single permissions.
"""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.models import Group, Permission
from django.db.models import Q

VIEWER, LABELLER, OPERATOR = "Viewer", "Labeller", "Operator"
OUR_APPS: Final = ("contributions", "groups", "ops", "soroban")

_READS: Final = Q(content_type__app_label__in=OUR_APPS, codename__startswith="view_")
_LABELS: Final = Q(
    content_type__app_label="groups", codename__in=["add_walletlabel", "change_walletlabel", "delete_walletlabel"]
)
# What staff did and who logged in; deleting a failed log-in lifts its lock.
_AUDIT: Final = Q(content_type__app_label="admin", codename="view_logentry") | Q(
    content_type__app_label="axes", codename__in=["view_accessattempt", "delete_accessattempt", "view_accesslog"]
)
# Permissions of our models beside Django's four: each is a button of the console.
_ACTIONS: Final = Q(content_type__app_label__in=OUR_APPS) & ~Q(codename__regex="^(add|change|delete|view)_")

ROLES: Final[dict[str, Q]] = {
    VIEWER: _READS,
    LABELLER: _READS | _LABELS,
    OPERATOR: _READS | _LABELS | _AUDIT | _ACTIONS,
}


def keep_roles(**_: Any) -> None:
    """Give each role the permissions that this version has for it, after migrations; roles that are missing are made.

    Changes that somebody made to a role are taken back. Whoever wants other permissions makes another group.
    """
    for name, permissions in ROLES.items():
        role, _made = Group.objects.get_or_create(name=name)
        role.permissions.set(Permission.objects.filter(permissions))
