"""The three ways in which a round is paid back: by the creator, by vote, by the admin."""

from dataclasses import replace
from enum import IntEnum
from typing import Final

from ajo.soroban.contract.contract_errors import ContractError as E
from ajo.soroban.contract.entries import Group, GroupState, Refund, RefundRequest, RefundVote
from ajo.soroban.contract.events import Cancelled, EmergencyRefunded, Refunded, RefundRequested, RefundVoted
from ajo.soroban.contract.keys import GroupKey, RefundKey, RefundRequestKey, RefundVoteKey
from devtools.sandbox.contract.base import Base
from devtools.sandbox.env import fail, i128, u64

VOTING_PERIOD: Final = 604_800  # seconds
APPROVAL_PERCENT: Final = 51


class RefundReason(IntEnum):
    CREATOR_CANCELLED = 0
    MEMBER_VOTE = 1
    EMERGENCY = 2


class Refunds(Base):
    def cancel_group(self, creator: str, group_id: int) -> None:
        self.ensure_not_paused()
        self.env.require_auth(creator)
        group = self.group(group_id)
        if group.creator != creator:
            raise fail(E.OnlyCreatorCanCancel)
        if group.state == GroupState.CANCELLED:
            raise fail(E.GroupCancelled)
        if group.payout_index > 0:
            raise fail(E.CannotCancelAfterPayout)
        self._refund_round(group, RefundReason.CREATOR_CANCELLED)
        self._cancel(group)
        self.env.emit(Cancelled(group_id, creator, len(group.members), group.contribution_amount))

    def request_refund(self, requester: str, group_id: int) -> None:
        self.ensure_not_paused()
        self.env.require_auth(requester)
        group = self.group(group_id)
        if requester not in group.members:
            raise fail(E.NotMember)
        if group.state == GroupState.CANCELLED:
            raise fail(E.GroupCancelled)
        now = self.env.timestamp
        if now <= self.grace_end(group):
            raise fail(E.CycleNotExpired)
        if self.env.has(RefundRequestKey(group_id)):
            raise fail(E.RefundRequestExists)
        deadline = u64(now + VOTING_PERIOD)
        request = RefundRequest(group_id, requester, now, deadline, 0, 0, executed=False, approved=False)
        self.env.put(RefundRequestKey(group_id), request)
        self.env.emit(RefundRequested(group_id, requester, deadline))

    def vote_refund(self, voter: str, group_id: int, in_favor: bool) -> None:
        self.ensure_not_paused()
        self.env.require_auth(voter)
        group = self.group(group_id)
        if voter not in group.members:
            raise fail(E.NotMember)
        request = self.refund_request(group_id)
        if self.env.has(RefundVoteKey(group_id, voter)):
            raise fail(E.AlreadyVoted)
        now = self.env.timestamp
        if now > request.voting_deadline:
            raise fail(E.VotingPeriodEnded)
        self.env.put(RefundVoteKey(group_id, voter), RefundVote(group_id, voter, in_favor, now))
        if in_favor:
            request = replace(request, votes_for=request.votes_for + 1)
        else:
            request = replace(request, votes_against=request.votes_against + 1)
        self.env.put(RefundRequestKey(group_id), request)
        self.env.emit(RefundVoted(group_id, voter, in_favor))

    def execute_refund(self, executor: str, group_id: int) -> None:
        self.ensure_not_paused()
        self.env.require_auth(executor)
        group = self.group(group_id)
        request = self.refund_request(group_id)
        if request.executed:
            raise fail(E.RefundAlreadyExecuted)
        if self.env.timestamp <= request.voting_deadline:
            raise fail(E.VotingPeriodActive)
        votes = request.votes_for + request.votes_against
        if votes == 0 or request.votes_for * 100 // votes < APPROVAL_PERCENT:
            raise fail(E.RefundNotApproved)
        self._refund_round(group, RefundReason.MEMBER_VOTE)
        self.env.put(RefundRequestKey(group_id), replace(request, executed=True, approved=True))
        self._cancel(group)

    def emergency_refund(self, admin: str, group_id: int) -> None:
        self.env.require_auth(admin)
        if admin != self.admin_or(E.Unauthorized):
            raise fail(E.Unauthorized)
        group = self.group(group_id)
        if group.state == GroupState.CANCELLED:
            raise fail(E.GroupCancelled)
        total = self._refund_round(group, RefundReason.EMERGENCY)
        self._cancel(group)
        self.env.emit(EmergencyRefunded(group_id, admin, total))

    def refund_request(self, group_id: int) -> RefundRequest:
        found: RefundRequest | None = self.env.get(RefundRequestKey(group_id))
        if found is None:
            raise fail(E.NoRefundRequest)
        return found

    def _refund_round(self, group: Group, reason: RefundReason) -> int:
        """Pays back everyone who paid the current cycle; the total, which only the emergency adds up (and may trap)."""
        total, amount, now = 0, group.contribution_amount, self.env.timestamp
        for member in group.members:
            if not self.has_contributed(group, member):
                continue
            total = i128(total + amount) if reason == RefundReason.EMERGENCY else 0
            self.token(group).transfer(self.env.contract, member, amount)
            self.env.put(RefundKey(group.id, member), Refund(group.id, member, amount, now, reason.value))
            self.env.emit(Refunded(group.id, member, amount, reason.value))
        return total

    def _cancel(self, group: Group) -> None:
        self.env.put(GroupKey(group.id), replace(group, state=GroupState.CANCELLED.value))
