"""Filters of the transactions that were submitted here. Each begins an index that ends in their order."""

from __future__ import annotations

from typing import Final

import django_filters

from ajo.api.filters import AddressFilter, ChoiceFilter, GroupIdFilter
from ajo.soroban.contract.functions import WRITES
from ajo.soroban.models import ChainTransaction

FUNCTIONS: Final = [(name, name) for name in WRITES]


class TransactionFilter(django_filters.FilterSet):
    source = AddressFilter(help_text="The account whose sequence number it uses.")
    group = GroupIdFilter(field_name="group_id", help_text="The group that they are about.")
    status = ChoiceFilter(choices=ChainTransaction.Status.choices, help_text="What became of them.")
    function = ChoiceFilter(choices=FUNCTIONS, help_text="The contract's function that they call.")
