"""The admin's switches, and how groups begin, grow and get their names."""

from dataclasses import replace
from typing import Final

from ajo.soroban.contract.contract_errors import ContractError as E
from ajo.soroban.contract.entries import Group, GroupState, InsuranceConfig, Metadata
from ajo.soroban.contract.events import Created, Joined, Upgraded
from ajo.soroban.contract.keys import GroupKey, MetadataKey
from devtools.sandbox.contract.base import Base
from devtools.sandbox.env import fail, u64

MAX_MEMBERS: Final = 100
MAX_GRACE_PERIOD: Final = 604_800  # seconds
MAX_NAME: Final = 50  # bytes, as the next two
MAX_DESCRIPTION: Final = 250
MAX_RULES: Final = 1000


class Admin(Base):
    def initialize(self, admin: str) -> None:
        if self.instance.admin is not None:
            raise fail(E.AlreadyInitialized)
        self.store_instance(replace(self.instance, admin=admin))

    def upgrade(self, new_wasm_hash: bytes) -> None:
        self.env.require_auth(self.admin_or(E.Unauthorized))
        self.env.check_code(new_wasm_hash)
        old = self.instance
        self.store_instance(replace(old, wasm_hash=new_wasm_hash.hex()))
        self.env.emit(Upgraded(old.wasm_hash or "", new_wasm_hash.hex()), system=True)

    def pause(self) -> None:
        self.env.require_auth(self.admin_or(E.UnauthorizedPause))
        self._store_paused(True)

    def unpause(self) -> None:
        self.env.require_auth(self.admin_or(E.UnauthorizedUnpause))
        self._store_paused(False)

    def _store_paused(self, paused: bool) -> None:
        """A stored false is another entry than one that was never stored."""
        instance = self.instance
        others = tuple(each for each in instance.explicit if each != "paused")
        explicit = others if paused else (*others, "paused")
        self.store_instance(replace(instance, paused=paused, explicit=explicit))


class Groups(Base):
    def create_group(
        self,
        creator: str,
        token_address: str,
        contribution_amount: int,
        cycle_duration: int,
        max_members: int,
        grace_period: int,
        penalty_rate: int,
        insurance_rate_bps: int,
    ) -> int:
        _check_terms(contribution_amount, cycle_duration, max_members, grace_period, penalty_rate)
        self.ensure_not_paused()
        self.env.require_auth(creator)
        group_id = u64(self.instance.group_counter + 1)
        self.store_instance(replace(self.instance, group_counter=group_id))
        now = self.env.timestamp
        group = Group(
            id=group_id,
            creator=creator,
            contribution_amount=contribution_amount,
            cycle_duration=cycle_duration,
            max_members=max_members,
            members=(creator,),
            current_cycle=1,
            payout_index=0,
            created_at=now,
            cycle_start_time=now,
            is_complete=False,
            grace_period=grace_period,
            penalty_rate=penalty_rate,
            state=GroupState.ACTIVE.value,
            token_address=token_address,
            insurance_config=InsuranceConfig(is_enabled=insurance_rate_bps > 0, rate_bps=insurance_rate_bps),
        )
        self.env.put(GroupKey(group_id), group)
        self.env.emit(Created(group_id, creator, contribution_amount, max_members))
        return group_id

    def join_group(self, member: str, group_id: int) -> None:
        self.ensure_not_paused()
        self.env.require_auth(member)
        group = self.group(group_id)
        if group.is_complete:
            raise fail(E.GroupComplete)
        if group.state == GroupState.CANCELLED:
            raise fail(E.GroupCancelled)
        if member in group.members:
            raise fail(E.AlreadyMember)
        if len(group.members) >= group.max_members:
            raise fail(E.MaxMembersExceeded)
        self.env.put(GroupKey(group_id), replace(group, members=(*group.members, member)))
        self.env.emit(Joined(group_id, member))

    def set_group_metadata(self, group_id: int, name: bytes, description: bytes, rules: bytes) -> None:
        if len(name) > MAX_NAME or len(description) > MAX_DESCRIPTION or len(rules) > MAX_RULES:
            raise fail(E.MetadataTooLong)
        self.env.require_auth(self.group(group_id).creator)
        self.env.put(MetadataKey(group_id), Metadata(name, description, rules))


def _check_terms(amount: int, duration: int, max_members: int, grace_period: int, penalty_rate: int) -> None:
    if amount == 0:
        raise fail(E.ContributionAmountZero)
    if amount < 0:
        raise fail(E.ContributionAmountNegative)
    if duration == 0:
        raise fail(E.CycleDurationZero)
    if max_members < 2:
        raise fail(E.MaxMembersBelowMinimum)
    if max_members > MAX_MEMBERS:
        raise fail(E.MaxMembersAboveLimit)
    if grace_period > MAX_GRACE_PERIOD:
        raise fail(E.InvalidGracePeriod)
    if penalty_rate > 100:
        raise fail(E.InvalidPenaltyRate)
