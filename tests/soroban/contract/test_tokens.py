"""A token's metadata in its instance."""

from dataclasses import replace

import pytest

from ajo.soroban.contract import DecodeError
from ajo.soroban.contract.entries import Entry, Instance
from ajo.soroban.contract.keys import InstanceKey
from ajo.soroban.contract.tokens import token_metadata
from devtools.sandbox import token
from tests.support.contract_values import CONTRACT


def test_a_tokens_words_about_itself_are_read_from_its_instance() -> None:
    entry = Entry(CONTRACT, InstanceKey(), token.instance("native", "native"))
    found = token_metadata(entry.to_xdr())
    assert (found.name, found.symbol, found.decimals, found.is_asset_contract) == ("native", "native", 7, True)
    wasm = Entry(CONTRACT, InstanceKey(), replace(token.instance("Dollar\0", "USD"), wasm_hash="00" * 32))
    assert token_metadata(wasm.to_xdr()).name == "Dollar\N{REPLACEMENT CHARACTER}"
    assert not token_metadata(wasm.to_xdr()).is_asset_contract
    with pytest.raises(DecodeError, match="metadata"):
        token_metadata(Entry(CONTRACT, InstanceKey(), Instance("00" * 32)).to_xdr())
