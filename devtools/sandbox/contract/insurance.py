"""Premiums, claims and their pool. The pool is a book: no token moves until a claim is paid."""

from dataclasses import replace
from enum import IntEnum

from ajo.soroban.contract.contract_errors import ContractError as E
from ajo.soroban.contract.entries import Group, InsuranceClaim, InsurancePool
from ajo.soroban.contract.keys import InsuranceClaimKey
from devtools.sandbox.contract.base import Base
from devtools.sandbox.env import CallFailed, fail, i128, u64


class ClaimStatus(IntEnum):
    PENDING = 0
    APPROVED = 1  # never stored: an approved claim is paid at once
    REJECTED = 2
    PAID = 3


class Insurance(Base):
    def pay_premium(self, group: Group) -> None:
        """Books the premium of one contribution in the pool of the group's token."""
        insurance = group.insurance_config
        if insurance is None or not insurance.is_enabled:
            return
        premium = i128(group.contribution_amount * insurance.rate_bps) // 10_000
        if premium > 0:
            token = group.token_address or ""
            pool = self.pool(token) or InsurancePool(0, 0, 0)
            self._store_pool(token, replace(pool, balance=i128(pool.balance + premium)))

    def file_insurance_claim(self, claimant: str, group_id: int, cycle: int, defaulter: str, amount: int) -> int:
        self.env.require_auth(claimant)
        claim_id = u64(self.instance.claim_counter + 1)
        self.store_instance(replace(self.instance, claim_counter=claim_id))
        group = self.group(group_id)
        status, now = ClaimStatus.PENDING.value, self.env.timestamp
        claim = InsuranceClaim(claim_id, group_id, cycle, defaulter, claimant, amount, status, now)
        self.env.put(InsuranceClaimKey(claim_id), claim)
        token = group.token_address or ""
        pool = self.pool(token) or InsurancePool(0, 0, 0)
        self._store_pool(token, replace(pool, pending_claims_count=pool.pending_claims_count + 1))
        return claim_id

    def process_insurance_claim(self, admin: str, claim_id: int, approved: bool) -> None:
        self.env.require_auth(self.admin_or(E.Unauthorized))
        claim = self.claim(claim_id)
        if claim.status != ClaimStatus.PENDING:
            raise fail(E.ClaimAlreadyProcessed)
        group = self.group(claim.group_id)
        token = group.token_address or ""
        pool = self.pool(token)
        if pool is None:
            raise fail(E.PoolNotFound)
        status = ClaimStatus.REJECTED
        if approved:
            if pool.balance < claim.amount:
                raise fail(E.InsufficientPoolBalance)
            balance, payouts = i128(pool.balance - claim.amount), i128(pool.total_payouts + claim.amount)
            pool = replace(pool, balance=balance, total_payouts=payouts)
            status = ClaimStatus.PAID
            self.token(group).transfer(self.env.contract, claim.claimant, claim.amount)
        if pool.pending_claims_count == 0:
            raise CallFailed("trap")
        self._store_pool(token, replace(pool, pending_claims_count=pool.pending_claims_count - 1))
        self.env.put(InsuranceClaimKey(claim_id), replace(claim, status=status.value))

    def claim(self, claim_id: int) -> InsuranceClaim:
        found: InsuranceClaim | None = self.env.get(InsuranceClaimKey(claim_id))
        if found is None:
            raise fail(E.InvalidClaim)
        return found

    def pool(self, token: str) -> InsurancePool | None:
        return dict(self.instance.insurance_pools).get(token)

    def _store_pool(self, token: str, pool: InsurancePool) -> None:
        pools = {**dict(self.instance.insurance_pools), token: pool}
        self.store_instance(replace(self.instance, insurance_pools=tuple(pools.items())))
