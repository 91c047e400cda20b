"""Accounts and clients of the staff's pages."""

import pytest
from django.contrib.auth.models import User
from django.test import Client


@pytest.fixture
def staff(db: None) -> Client:
    """A staff account to which nobody has given a single permission."""
    client = Client()
    client.force_login(User.objects.create(username="clerk", is_staff=True))
    return client


@pytest.fixture
def chief(db: None) -> Client:
    """A superuser: who may everything that anyone may."""
    client = Client()
    client.force_login(User.objects.create(username="chief", is_staff=True, is_superuser=True))
    return client
