"""What can be asked without changing anything; the times are those of the asking ledger."""

from ajo.soroban.contract.codec import ADDRESS, U32, U64
from ajo.soroban.contract.contract_errors import ContractError as E
from ajo.soroban.contract.entries import Group, InsuranceClaim, InsurancePool, Metadata, Refund, RefundRequest
from ajo.soroban.contract.functions import GroupStatus, PenaltyRecord
from ajo.soroban.contract.keys import MetadataKey, RefundKey
from devtools.sandbox.contract.insurance import Insurance
from devtools.sandbox.contract.refunds import Refunds
from devtools.sandbox.env import fail, u64
from devtools.sandbox.token import Token


class Views(Refunds, Insurance):
    def get_group(self, group_id: int) -> Group:
        return self.group(group_id)

    def list_members(self, group_id: int) -> tuple[str, ...]:
        return self.group(group_id).members

    def is_complete(self, group_id: int) -> bool:
        return self.group(group_id).is_complete

    def is_member(self, group_id: int, address: str) -> bool:
        return address in self.group(group_id).members

    def get_group_status(self, group_id: int) -> GroupStatus:
        group = self.group(group_id)
        now = self.env.timestamp
        cycle_end, grace_end = u64(group.cycle_start_time + group.cycle_duration), self.grace_end(group)
        penalty_pool = self.penalty_pool(group_id, group.current_cycle)
        pending = tuple(each for each in group.members if not self.has_contributed(group, each))
        has_next = not group.is_complete and group.payout_index < len(group.members)
        return GroupStatus(
            group_id=group.id,
            current_cycle=group.current_cycle,
            has_next_recipient=has_next,
            next_recipient=group.members[group.payout_index] if has_next else group.creator,
            total_members=len(group.members),
            contributions_received=len(group.members) - len(pending),
            pending_contributors=pending,
            is_complete=group.is_complete,
            is_cycle_active=now < cycle_end,
            is_in_grace_period=cycle_end < now <= grace_end,
            cycle_start_time=group.cycle_start_time,
            cycle_end_time=cycle_end,
            grace_period_end_time=grace_end,
            current_time=now,
            cycle_penalty_pool=penalty_pool,
        )

    def get_group_metadata(self, group_id: int) -> Metadata:
        found: Metadata | None = self.env.get(MetadataKey(group_id))
        if found is None:
            raise fail(E.GroupNotFound)
        return found

    def get_refund_request(self, group_id: int) -> RefundRequest:
        return self.refund_request(group_id)

    def get_refund_record(self, group_id: int, address: str) -> Refund:
        found: Refund | None = self.env.get(RefundKey(group_id, address))
        if found is None:
            raise fail(E.GroupNotFound)
        return found

    def get_member_penalty_record(self, group_id: int, address: str) -> PenaltyRecord:
        if address not in self.group(group_id).members:
            raise fail(E.NotMember)
        self.env.has_record("PENALTY", U64.encode(group_id), ADDRESS.encode(address))
        return PenaltyRecord(group_id, address, 0, 0, 0, 100)

    def get_contribution_detail(self, group_id: int, cycle: int, member: str) -> None:
        self.env.has_record("CONTREC", U64.encode(group_id), U32.encode(cycle), ADDRESS.encode(member))
        raise fail(E.GroupNotFound)

    def get_cycle_penalty_pool(self, group_id: int, cycle: int) -> int:
        self.group(group_id)
        return self.penalty_pool(group_id, cycle)

    def get_contribution_status(self, group_id: int, cycle: int) -> tuple[tuple[str, bool], ...]:
        group = self.group(group_id)
        return tuple((member, self.has_contributed(group, member, cycle)) for member in group.members)

    def get_group_risk_rating(self, group_id: int) -> int:
        return 75 if self.group(group_id).members else 0

    def get_member_risk_score(self, member: str) -> int:
        return 100

    def get_contract_balance(self, token: str) -> int:
        return Token(self.env, token).balance(self.env.contract)

    def get_insurance_pool(self, token: str) -> InsurancePool:
        pool = self.pool(token)
        if pool is None:
            raise fail(E.PoolNotFound)
        return pool

    def get_insurance_claim(self, claim_id: int) -> InsuranceClaim:
        return self.claim(claim_id)
