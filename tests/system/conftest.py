from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from tests.support.running import Running, running


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker) -> Iterator[Running]:
    """Start the service once for a module's tests; each leaves it in peace with the chain."""
    with django_db_blocker.unblock(), running(tmp_path_factory.mktemp("up")) as service:
        service.start_all()
        yield service
