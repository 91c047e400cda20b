"""Tokens: their symbols are those that the chain says now, and premiums that were never collected are no alarm."""

import base64
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings
from stellar_sdk import StrKey

from ajo.console.tiles import Level, health_tiles
from ajo.indexer.follow import sync_pass
from ajo.indexer.verify import sweep_groups
from ajo.indexer.verify_history import sweep_deep
from ajo.soroban.contract.entries import Entry, Instance
from ajo.soroban.contract.keys import BalanceKey, InstanceKey
from ajo.soroban.contract.tokens import METADATA, LibraryTokenText, TokenText
from ajo.soroban.models import Checkpoint, SyncRun
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import NodeLagging
from devtools.sandbox.sandbox import Sandbox
from devtools.sandbox.token import held
from groups import tokens
from groups.cached import group_answer
from groups.models import Group, Token
from groups.tokens import read_tokens, save_tokens
from tests.support.answers import corrupt_answer, count_calls
from tests.support.following import catch_up, make_groups
from tests.support.histories import DAY
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)
TOKEN = StrKey.encode_contract(bytes([7]) * 32)


def deploy(sandbox: Sandbox, text: TokenText | LibraryTokenText, address: str = TOKEN) -> None:
    """Make a token's contract, or change what it says of itself."""
    answer = Instance("ab" * 32, extra=((METADATA, text.codec.to_xdr(text)),))
    write(sandbox, address, InstanceKey(), answer)


def write(sandbox: Sandbox, address: str, key: Any, value: Any) -> None:
    chain = sandbox.chain
    with chain.store.ledger():
        chain.put_entry(chain.latest, base64.b64decode(key.to_xdr(address)), Entry(address, key, value).to_xdr())
    chain.close_ledger()


def collect(sandbox: Sandbox, address: str = TOKEN) -> None:
    """Make a group that collects this token."""
    (creator,) = wallets(1)
    assert sandbox.chain.call(creator, "create_group", creator, address, 50, DAY, 3, 0, 0, 0).error is None
    sandbox.chain.close_ledger()


def sweep(client: SorobanClient) -> dict[str, int]:
    """A sweep, and the pass after it, which takes to the cache what the sweep changed."""
    list(sweep_groups(lambda read: read(client)))
    counts: dict[str, int] = SyncRun.objects.latest("id").counts
    sync_pass(client)
    return counts


def versions() -> list[tuple[int, str]]:
    """Return each row's place in the table (ctid): another place, and a dead row, with each update."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, ctid::text FROM groups_token ORDER BY id")
        return [(number, place) for number, place in cursor.fetchall()]


def test_a_token_that_is_made_after_its_first_group_and_changes_its_symbol_is_shown_as_it_is_now(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks if a token were read once: that there was none would be shown for ever."""
    collect(sandbox)
    catch_up(client_of_chain)
    assert b'"token":null' in group_answer(1).body
    for symbol, decimals in (("NGN", 2), ("eNGN", 2), ("eNGN", 6)):
        before = Group.objects.get().revision
        deploy(sandbox, TokenText(decimals, b"Naira", symbol.encode()))
        assert sweep(client_of_chain)["tokens_changed"] == 1
        assert (
            f'"token":{{"symbol":"{symbol}","decimals":{decimals},"verified":false}}'.encode() in group_answer(1).body
        )
        assert Group.objects.get().revision > before
        assert sweep(client_of_chain)["tokens_changed"] == 0
    assert Checkpoint.objects.get().drift_total == 0


def test_a_false_answer_about_a_token_is_corrected_by_the_next_sweep(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    deploy(sandbox, TokenText(7, b"Naira", b"NGN"))
    collect(sandbox)
    name = InstanceKey().to_xdr(TOKEN)

    def without(answer: dict[str, Any]) -> None:
        answer["entries"] = [each for each in answer["entries"] if each["key"] != name]

    corrupt_answer(sandbox, "getLedgerEntries", without, times=100)
    catch_up(client_of_chain)
    assert Token.objects.get().symbol is None
    del sandbox.rpc.call
    sweep(client_of_chain)
    assert b'"symbol":"NGN"' in group_answer(1).body


def test_an_older_reading_of_a_token_is_not_written_over_a_newer_one(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    deploy(sandbox, TokenText(7, b"Naira", b"NGN"))
    collect(sandbox)
    catch_up(client_of_chain)
    old = tokens.read_tokens(client_of_chain, 0, list(Token.objects.all()))
    deploy(sandbox, TokenText(7, b"Naira", b"eNGN"))
    assert tokens.save_tokens(tokens.read_tokens(client_of_chain, 0, list(Token.objects.all()))) == 1
    assert tokens.save_tokens(old) == 0
    assert Token.objects.get().symbol == "eNGN"


@pytest.mark.parametrize("text", [TokenText(5, b"Naira", b"NGN"), LibraryTokenText(5, b"Naira", b"NGN")])
def test_a_token_is_read_whether_its_library_says_decimal_or_decimals(
    sandbox: Sandbox, client_of_chain: SorobanClient, text: TokenText | LibraryTokenText
) -> None:
    deploy(sandbox, text)
    collect(sandbox)
    catch_up(client_of_chain)
    token = Token.objects.get()
    assert (token.symbol, token.name, token.decimals, token.is_asset_contract) == ("NGN", "Naira", 5, False)


def test_a_list_of_verified_tokens_that_changes_counts_from_the_next_pass_on(
    sandbox: Sandbox, client_of_chain: SorobanClient, settings: Settings
) -> None:
    """Breaks if a token were marked once, when its row is made: bodies in the cache would say so until a rebuild."""
    deploy(sandbox, TokenText(7, b"Naira", b"NGN"))
    collect(sandbox)
    make_groups(sandbox, 1)  # which collects the native asset: verified whatever is listed
    catch_up(client_of_chain)
    for listed in ([TOKEN], []):
        answers = {number: group_answer(number) for number in (1, 2)}
        settings.VERIFIED_TOKENS = listed
        sync_pass(client_of_chain)
        assert (b'"verified":true' in group_answer(1).body) == bool(listed)
        assert group_answer(1).body != answers[1].body
        assert group_answer(2) == answers[2]
        assert b'"verified":true' in answers[2].body


def many_tokens(count: int) -> None:
    """As a creator makes them, who names a new one with each group."""
    Token.objects.bulk_create(
        Token(address=StrKey.encode_contract(number.to_bytes(32, "big")), read_ledger=1) for number in range(count)
    )


def test_of_many_tokens_each_sweep_looks_at_a_share_and_writes_only_what_changed(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks where each share ends with all tokens: of 32,000 every row would be written, with each share."""
    deploy(sandbox, TokenText(7, b"Naira", b"NGN"))
    many_tokens(450)
    collect(sandbox)
    catch_up(client_of_chain)
    list(sweep_deep(lambda read: read(client_of_chain), limit=1))
    while Checkpoint.objects.get().balances_swept_to:
        list(sweep_deep(lambda read: read(client_of_chain), limit=1))
    assert not Token.objects.filter(checked_ledger=0).exists()
    before = versions()
    for _ in range(5):
        calls = count_calls(sandbox)
        list(sweep_groups(lambda read: read(client_of_chain)))
        list(sweep_deep(lambda read: read(client_of_chain), limit=1))
        assert calls["getLedgerEntries"] <= 8
        del sandbox.rpc.call
    assert versions() == before
    write(sandbox, TOKEN, BalanceKey(sandbox.contract), held(5))
    sync_pass(client_of_chain)
    list(sweep_deep(lambda read: read(client_of_chain), limit=1))  # it is among the tokens touched last
    assert [row for row, old in zip(versions(), before, strict=True) if row != old] == [
        row for row in versions() if row[0] == Token.objects.get(address=TOKEN).pk
    ]
    assert Token.objects.get(address=TOKEN).balance == 5


def test_every_token_has_its_turn_within_a_round(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    many_tokens(250)
    collect(sandbox)
    catch_up(client_of_chain)
    last = Token.objects.exclude(address=TOKEN).latest("id")
    deploy(sandbox, TokenText(7, b"Naira", b"LAST"), last.address)
    sync_pass(client_of_chain)
    for _ in range(3):
        sweep(client_of_chain)
    last.refresh_from_db()
    assert (last.symbol, Checkpoint.objects.get().tokens_swept_to) == ("LAST", 0)


def test_premiums_that_are_booked_and_collected_from_nobody_are_no_alarm_and_what_is_missing_beside_is(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks if the insurance pool's book counted as collected: with the first insured contribution it turns red."""
    chain, (payer,) = sandbox.chain, wallets(1)
    chain.fund(payer)
    group = chain.call(payer, "create_group", payer, chain.token, 7000, DAY, 3, 0, 0, 100).result
    chain.call(payer, "create_group", payer, chain.token, 5000, DAY, 3, 0, 0, 0)
    chain.call(payer, "contribute", payer, group)
    chain.call(payer, "contribute", payer, 2)
    claim = chain.call(payer, "file_insurance_claim", payer, group, 1, payer, 30).result
    chain.close_ledger()

    def look() -> tuple[int, int, int, bool, str]:
        catch_up(client_of_chain)
        list(sweep_deep(lambda read: read(client_of_chain)))
        token = Token.objects.get()
        (fact,) = (fact for fact in health_tiles() if fact.name == "Held against owed")
        return int(token.balance or 0), int(token.owed), int(token.booked_premiums), fact.level > Level.WELL, fact.value

    assert look()[:4] == (12000, 12070, 70, False)
    assert look()[4].endswith("premium that the contract books and collects from nobody")
    assert list(Token.objects.short_of_premiums()) == list(Token.objects.all())
    chain.call(chain.admin, "process_insurance_claim", chain.admin, claim, True)  # paid from what was collected
    chain.close_ledger()
    assert look()[:4] == (11970, 12040, 70, False)
    assert not Token.objects.short().exists()
    write(sandbox, chain.token, BalanceKey(sandbox.contract), held(11969))
    assert look()[:4] == (11969, 12040, 70, True)
    assert look()[4].endswith("premium that the contract books and collects from nobody, 0.0000001 XLM unexplained")
    assert SyncRun.objects.latest("id").counts["insolvent_tokens"] == 1


def test_a_token_is_not_taken_for_none_by_a_node_from_before_it(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks if any node's word were enough: a token is read once, and its symbol would be unknown for ever."""
    Token.objects.create(address=sandbox.chain.token)
    with pytest.raises(NodeLagging):
        read_tokens(client_of_chain, sandbox.chain.latest + 1)
    save_tokens(read_tokens(client_of_chain, sandbox.chain.latest))
    assert Token.objects.get().symbol is not None


@pytest.mark.parametrize(("length", "symbol"), [(3, "SSS"), (60_000, None)])
def test_a_symbol_as_long_as_an_entry_can_be_is_no_symbol(
    sandbox: Sandbox, client_of_chain: SorobanClient, length: int, symbol: str | None
) -> None:
    deploy(sandbox, TokenText(7, b"n", b"S" * length))
    (token,) = read_tokens(client_of_chain, sandbox.chain.latest, [Token(address=TOKEN)])
    assert token.symbol == symbol
