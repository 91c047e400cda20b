"""The network's limit of event bytes, which no simulation tells of (WRITING.md §5, 6)."""

import pytest
from stellar_sdk import Account, Asset, Keypair, SorobanServer, TransactionBuilder, scval

from ajo.soroban.sandbox import people
from ajo.soroban.sandbox.network import BASE_RESERVE
from ajo.soroban.sandbox.sandbox import Sandbox
from tests.soroban.sending import host_code, looked_up, send, sequence

USDC = Asset("USDC", Keypair.from_raw_ed25519_seed(bytes([99]) * 32).public_key)


def cancelled(sandbox: Sandbox, asset: Asset, paid: int) -> tuple[str, str]:
    """The status and the code of a cancellation that pays so many members back."""
    chain = sandbox.chain
    members = [Keypair.from_raw_ed25519_seed(bytes([150, n]) * 16) for n in range(paid)]
    token = chain.token if asset.is_native() else people.deploy_asset(chain, asset)
    chain.fund(USDC.issuer or "")
    for each in members:
        chain.fund(each.public_key)
        if not asset.is_native():
            people.set_trustline(chain, each.public_key, asset, 1000, 2**63 - 1, is_authorized=True)
    creator = members[0].public_key
    chain.call(creator, "create_group", creator, token, 5, 3600, 100, 0, 0, 0)
    for each in members[1:]:
        chain.call(each.public_key, "join_group", each.public_key, 1)
    for each in members:
        assert chain.call(each.public_key, "contribute", each.public_key, 1).error is None
    chain.close_ledger()
    builder = TransactionBuilder(Account(creator, sequence(sandbox, members[0])), chain.passphrase)
    arguments = [scval.to_address(creator), scval.to_uint64(1)]
    builder.append_invoke_contract_function_op(sandbox.contract, "cancel_group", arguments).add_time_bounds(0, 0)
    envelope = SorobanServer(sandbox.url).prepare_transaction(builder.build())
    envelope.sign(members[0])
    assert send(sandbox, envelope)["status"] == "PENDING"
    chain.close_ledger()
    found = looked_up(sandbox, envelope)
    return found["status"], host_code(found)


@pytest.mark.parametrize(("asset", "most"), [(Asset.native(), 46), (USDC, 39)], ids=["native", "issued"])
def test_a_cancellation_pays_so_many_back_and_not_one_more(asset: Asset, most: int) -> None:
    for paid, expected in ((most, ("SUCCESS", "SUCCESS")), (most + 1, ("FAILED", "RESOURCE_LIMIT_EXCEEDED"))):
        with Sandbox(base_reserve=BASE_RESERVE) as sandbox:
            assert cancelled(sandbox, asset, paid) == expected
