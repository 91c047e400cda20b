"""Paying in, and paying out."""

from dataclasses import replace

from ajo.soroban.contract.contract_errors import ContractError as E
from ajo.soroban.contract.entries import GroupState
from ajo.soroban.contract.events import Completed, Contribution, Payout
from ajo.soroban.contract.keys import ContribKey, GroupKey, PayoutKey
from devtools.sandbox.contract.insurance import Insurance
from devtools.sandbox.env import fail, i128


class Rounds(Insurance):
    def contribute(self, member: str, group_id: int) -> None:
        self.ensure_not_paused()
        self.env.require_auth(member)
        group = self.group(group_id)
        if group.is_complete:
            raise fail(E.GroupComplete)
        if group.state == GroupState.CANCELLED:
            raise fail(E.GroupCancelled)
        if member not in group.members:
            raise fail(E.NotMember)
        if self.has_contributed(group, member):
            raise fail(E.AlreadyContributed)
        token = self.token(group)
        if token.balance(member) < group.contribution_amount:
            raise fail(E.InsufficientBalance)
        token.transfer(member, self.env.contract, group.contribution_amount)
        self.env.put(ContribKey(group_id, group.current_cycle, member), True)
        self.pay_premium(group)
        self.env.emit(Contribution(group_id, group.current_cycle, member, group.contribution_amount))

    def execute_payout(self, group_id: int) -> None:
        self.ensure_not_paused()
        group = self.group(group_id)
        if group.state == GroupState.CANCELLED:
            raise fail(E.GroupCancelled)
        if group.is_complete:
            raise fail(E.GroupComplete)
        if not all(self.has_contributed(group, member) for member in group.members):
            raise fail(E.IncompleteContributions)
        if self.env.timestamp < self.grace_end(group):
            raise fail(E.OutsideCycleWindow)
        if group.payout_index >= len(group.members):
            raise fail(E.NoMembers)
        recipient = group.members[group.payout_index]
        amount = i128(group.contribution_amount * len(group.members))
        self.penalty_pool(group_id, group.current_cycle)
        token = self.token(group)
        if token.balance(self.env.contract) < amount:
            raise fail(E.InsufficientContractBalance)
        token.transfer(self.env.contract, recipient, amount)
        self.env.put(PayoutKey(group_id, recipient), True)
        self.env.emit(Payout(group_id, group.current_cycle, recipient, amount))
        paid = group.payout_index + 1
        if paid >= len(group.members):
            group = replace(group, payout_index=paid, is_complete=True)
            self.env.emit(Completed(group_id))
        else:
            now = self.env.timestamp
            group = replace(group, payout_index=paid, current_cycle=group.current_cycle + 1, cycle_start_time=now)
        self.env.put(GroupKey(group_id), group)
