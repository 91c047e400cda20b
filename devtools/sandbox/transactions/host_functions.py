"""The three things that an operation can ask of the host: call a contract, install code, make a contract."""

import hashlib
from typing import Final

from stellar_sdk import Asset, StrKey
from stellar_sdk.xdr import (
    ContractExecutable,
    ContractIDPreimage,
    EnvelopeType,
    HostFunction,
)

from ajo.soroban.contract.codec import ADDRESS, BYTES, STRING, SYMBOL, b64, opaque, read_address
from ajo.soroban.contract.entries import Instance
from ajo.soroban.contract.keys import InstanceKey
from ajo.soroban.contract.tokens import METADATA, TokenText
from devtools.sandbox.env import encode
from devtools.sandbox.ledger.keys import code_key, scmap, symbol_vec
from devtools.sandbox.machine.errors import HostError
from devtools.sandbox.machine.machine import Machine
from devtools.sandbox.present import present
from devtools.sandbox.token import DECIMALS

_WASM: Final = b"\0asm"


def run(machine: Machine, function: HostFunction) -> bytes:
    """The host function's SCVal. Raises HostError."""
    call = function.invoke_contract
    if call is not None:
        contract = read_address(call.contract_address.to_xdr_bytes(), 0)[0]
        name = call.function_name.sc_symbol.decode("utf-8", errors="surrogateescape")
        return machine.invoke(contract, name, [each.to_xdr_bytes() for each in call.args])
    if function.wasm is not None:
        return _upload(machine, function.wasm)
    if function.create_contract_v2 is not None:
        made = function.create_contract_v2
        return _create(machine, made.contract_id_preimage, made.executable)
    plain = present(function.create_contract)
    return _create(machine, plain.contract_id_preimage, plain.executable)


def _upload(machine: Machine, code: bytes) -> bytes:
    if code and not code.startswith(_WASM):
        words = "Module(Parser(BinaryReaderError { magic header not detected }))"
        raise machine.error(HostError("WasmVm", "InvalidAction"), words)
    digest = hashlib.sha256(code).digest()
    key = code_key(digest.hex())
    machine.storage.get(key)
    machine.storage.put(key, key[:4] + bytes(4) + key[4:] + opaque(code))
    return BYTES.encode(digest)


def _create(machine: Machine, preimage: ContractIDPreimage, executable: ContractExecutable) -> bytes:
    digest = contract_hash(preimage, machine.info.network_id)
    address = StrKey.encode_contract(digest)
    key = InstanceKey().encode(address)
    if machine.storage.get(key) is not None:
        raise machine.error(HostError("Storage", "ExistingValue"), "contract already exists", BYTES.encode(digest))
    if executable.wasm_hash is not None:
        machine.check_code(executable.wasm_hash.hash)
        instance = Instance(wasm_hash=executable.wasm_hash.hash.hex())
    else:
        instance = asset_instance(Asset.from_xdr_object(present(preimage.from_asset)))
    machine.storage.put(*encode(address, InstanceKey(), instance))
    return ADDRESS.encode(address)


def contract_hash(preimage: ContractIDPreimage, network_id: bytes) -> bytes:
    head = EnvelopeType.ENVELOPE_TYPE_CONTRACT_ID.value.to_bytes(4, "big")
    return hashlib.sha256(head + network_id + preimage.to_xdr_bytes()).digest()


def asset_instance(asset: Asset) -> Instance:
    """An asset contract's entry, as the host writes it: its name, `native` or CODE:ISSUER, says whose it is."""
    name = "native" if asset.is_native() else f"{asset.code}:{asset.issuer}"
    code = "native" if asset.is_native() else asset.code
    text = TokenText.codec.to_xdr(TokenText(DECIMALS, name.encode(), code.encode()))
    info = symbol_vec(SYMBOL.encode("Native"))
    stored = [(METADATA, text)]
    if asset.issuer is not None:
        told = {
            "asset_code": STRING.encode(_padded(code).encode()),
            "issuer": BYTES.encode(StrKey.decode_ed25519_public_key(asset.issuer)),
        }
        info = symbol_vec(SYMBOL.encode("AlphaNum4" if len(code) <= 4 else "AlphaNum12"), scmap(told))
        stored.append((b64(symbol_vec(SYMBOL.encode("Admin"))), ADDRESS.to_xdr(asset.issuer)))
    stored.append((b64(symbol_vec(SYMBOL.encode("AssetInfo"))), b64(info)))
    return Instance(wasm_hash=None, extra=tuple(stored))


def _padded(code: str) -> str:
    return code.ljust(4 if len(code) <= 4 else 12, "\0")
