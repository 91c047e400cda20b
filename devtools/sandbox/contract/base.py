"""What all functions of the contract share: reading, and the checks that several of them make."""

from ajo.soroban.contract.codec import U32, U64
from ajo.soroban.contract.contract_errors import ContractError as E
from ajo.soroban.contract.entries import Group, Instance
from ajo.soroban.contract.keys import ContribKey, GroupKey, InstanceKey
from devtools.sandbox.env import Env, fail, u64
from devtools.sandbox.token import Token


class Base:
    """One call's view of the contract. Amounts are in the token's smallest unit, times unix seconds."""

    def __init__(self, env: Env) -> None:
        self.env = env

    @property
    def instance(self) -> Instance:
        found: Instance = self.env.get(InstanceKey())
        return found

    def store_instance(self, instance: Instance) -> None:
        self.env.put(InstanceKey(), instance)

    def admin_or(self, error: E) -> str:
        admin = self.instance.admin
        if admin is None:
            raise fail(error)
        return admin

    def ensure_not_paused(self) -> None:
        if self.instance.paused:
            raise fail(E.ContractPaused)

    def group(self, group_id: int) -> Group:
        found: Group | None = self.env.get(GroupKey(group_id))
        if found is None:
            raise fail(E.GroupNotFound)
        return found

    def token(self, group: Group) -> Token:
        return Token(self.env, group.token_address or "")

    def has_contributed(self, group: Group, member: str, cycle: int | None = None) -> bool:
        key = ContribKey(group.id, group.current_cycle if cycle is None else cycle, member)
        return self.env.has(key)

    def penalty_pool(self, group_id: int, cycle: int) -> int:
        """Always 0: the contract reads it and never writes it."""
        self.env.has_record("PENPOOL", U64.encode(group_id), U32.encode(cycle))
        return 0

    def grace_end(self, group: Group) -> int:
        return u64(u64(group.cycle_start_time + group.cycle_duration) + (group.grace_period or 0))
