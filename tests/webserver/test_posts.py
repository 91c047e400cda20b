"""Transactions posted to real web processes: whole bodies, many at once, and waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from pytest_django import Settings

from ajo.soroban.models import ChainTransaction
from devtools.sandbox.sandbox import Sandbox
from tests.support.sending import BOB, CAROL, joining, with_groups
from tests.support.submitting import PATH, follow, following
from tests.support.waiting import wait_for
from tests.support.web import Served, served

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def chain() -> Iterator[Sandbox]:
    with with_groups() as running:
        yield running


@pytest.fixture(scope="module")
def web(django_db_setup: None, chain: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The web processes, which ask the sandbox."""
    env = {"SOROBAN_RPC_URL": chain.url, "AJO_CONTRACT_ID": chain.contract, "WEB_WORKERS": "2"}
    home = tmp_path_factory.mktemp("web")
    with served(home, STELLAR_NETWORK_PASSPHRASE=chain.chain.passphrase, **env) as running:
        yield running


@pytest.fixture
def followed(chain: Sandbox, settings: Settings) -> Iterator[Sandbox]:
    """The sandbox, which the tables follow."""
    yield from following(chain, settings)


def url(web: Served, path: str = PATH) -> str:
    return f"http://127.0.0.1:{web.port}{path}"


def test_a_hundred_posts_of_one_transaction_at_once_have_one_row_one_effect_and_one_answer(
    web: Served, followed: Sandbox
) -> None:
    envelope = joining(followed, CAROL)

    def answered(_: int) -> requests.Response:
        """Post until it is taken: a busy machine may have no place for a body within the server's patience."""
        while (answer := requests.post(url(web), json={"xdr": envelope.to_xdr()}, timeout=60)).status_code == 503:
            assert "Retry-After" in answer.headers
        return answer

    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(answered, range(100)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200] * 99 + [202]
    assert {answer.json()["hash"] for answer in answers} == {envelope.hash_hex()}
    assert {answer.json()["status"] for answer in answers} == {"pending"}
    assert ChainTransaction.objects.get().attempts == 1
    followed.chain.close_ledger()
    follow(followed)
    (shown,) = requests.get(url(web, "/api/v1/events/"), timeout=10).json()["results"][2:]
    assert (shown["type"], shown["tx_hash"]) == ("joined", envelope.hash_hex())


def test_of_many_transactions_of_one_source_posted_at_once_one_is_taken(web: Served, followed: Sandbox) -> None:
    """Breaks without the lock of a source: two that look before either is stored both pass."""
    envelopes = [joining(followed, BOB, ahead=ahead) for ahead in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda each: requests.post(url(web), json={"xdr": each.to_xdr()}, timeout=60), envelopes)
        )
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 7
    taken = ChainTransaction.objects.get().hash
    assert {answer.json()["hash"] for answer in answers} == {taken}


def test_a_form_of_a_wallet_is_taken(web: Served, followed: Sandbox) -> None:
    """SEP-7's callback."""
    envelope = joining(followed, BOB)
    answer = requests.post(url(web), data={"xdr": envelope.to_xdr()}, timeout=30)
    assert (answer.status_code, answer.json()["hash"]) == (202, envelope.hash_hex())


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Content-Length": "300000"}, 413), ({"Transfer-Encoding": "chunked"}, 411)],
)
def test_a_body_that_cannot_be_taken_is_refused_in_json(web: Served, headers: dict[str, str], status: int) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    answer = web.ask(f"{head}{lines}\r\n".encode()).decode().lower()
    assert answer.startswith(f"http/1.1 {status}")
    assert "content-type: application/problem+json" in answer
    assert "access-control-allow-origin: *" in answer
    assert f'"status":{status}' in answer


def test_a_post_that_waits_is_answered_when_the_end_is_known_and_holds_up_nobody(
    web: Served, followed: Sandbox
) -> None:
    envelope = joining(followed, BOB)
    found: list[requests.Response] = []

    def wait() -> None:
        headers = {"Prefer": "wait=25"}
        found.append(requests.post(url(web), json={"xdr": envelope.to_xdr()}, headers=headers, timeout=60))

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_for(lambda: ChainTransaction.objects.filter(attempts=1).exists(), what="the first sending")
    assert [web.is_live() for _ in range(8)] == [True] * 8
    # this client waits already: the second is answered at once, as it stands
    second = requests.post(url(web), json={"xdr": envelope.to_xdr()}, headers={"Prefer": "wait=25"}, timeout=5)
    assert (second.status_code, second.json()["status"]) == (200, "pending")
    assert "Preference-Applied" not in second.headers
    assert not found
    ChainTransaction.objects.update(status="failed", ledger=4)
    waiting.join(timeout=10)
    assert (found[0].status_code, found[0].json()["status"]) == (202, "failed")
    assert found[0].headers["Preference-Applied"] == "wait=25"
