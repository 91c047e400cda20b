"""The Django app of writing. Its model is in ajo.soroban: it is the chain's, as the event log is."""

from django.apps import AppConfig


class TransactionsConfig(AppConfig):
    name = "ajo.transactions"
    label = "transactions"
