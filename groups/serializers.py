"""Serializers of groups, members, wallets and refund requests: the one description of bodies and schema."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from ajo.api.fields import AddressField, AmountField, ComputedField, TimeField, U32Field, U64StringField
from groups import dues, schedule
from groups.models import Group, GroupMember, RefundRequest, User


class TokenSerializer(serializers.Serializer[Any]):
    """The metadata of a token contract. Anyone can write one; this service vouches for those that are `verified`."""

    symbol = serializers.CharField(
        read_only=True,
        allow_null=True,
        help_text="What the token calls itself; null if it says nothing that can be read.",
    )
    decimals = U32Field(allow_null=True, help_text="Digits after the point of the token's unit.")
    verified = serializers.BooleanField(
        read_only=True, help_text="Whether this service vouches for it: anyone can call a token XLM."
    )


class MemberSerializer(serializers.Serializer[GroupMember]):
    address = AddressField(source="user.wallet_address", help_text="The member's wallet.")
    position = U32Field(help_text="0-based; join order is payout order.")
    joined_at = TimeField(allow_null=True, help_text="When it joined; null if its event is out of reach.")
    has_contributed = serializers.BooleanField(
        read_only=True, help_text="This round. Of a completed or cancelled group: its last round."
    )
    has_received_payout = ComputedField(
        dues.is_paid_out, serializers.BooleanField(), help_text="Whether its turn has been paid out."
    )


class RefundRequestSerializer(serializers.Serializer[RefundRequest]):
    requester = AddressField(source="requester.wallet_address", help_text="The member who asked for it.")
    created_at = TimeField(allow_null=True, help_text="When it was asked for; null if no calendar holds the time.")
    voting_deadline = TimeField(
        allow_null=True, help_text="Until when members vote; null if no calendar holds the time."
    )
    votes_for = U32Field(help_text="Members who voted for it.")
    votes_against = U32Field(help_text="Members who voted against it.")
    executed = serializers.BooleanField(read_only=True, help_text="Whether the refund was paid.")
    approved = serializers.BooleanField(
        read_only=True, help_text="Whether the contract has found it approved, which it does when it is executed."
    )


class GroupSerializer(serializers.Serializer[Group]):
    """A savings group. Amounts are in the token's smallest unit."""

    # Needs rows with `next_address`, the member at `payout_index` (groups.queries.listed_groups).

    id = U64StringField(help_text="The contract's number, from 1.")
    name = serializers.CharField(read_only=True, help_text="The creator's name for it; empty while none is set.")
    description = serializers.CharField(
        read_only=True, help_text="What it is for, in the creator's words; empty while none are set."
    )
    rules = serializers.CharField(
        read_only=True, help_text="Its rules, in the creator's words; empty while none are set."
    )
    creator = AddressField(source="creator.wallet_address", help_text="The wallet that made it.")
    token_address = AddressField(
        source="token_id",
        allow_null=True,
        help_text="The token that is paid in; null for a group of an older contract.",
    )
    token = ComputedField(
        lambda group: schedule.readable_token(group.token),
        TokenSerializer(allow_null=True),
        help_text="The token's own description, if it can be read.",
    )
    contribution_amount = AmountField(help_text="What each member pays a round, in the token's smallest unit.")
    cycle_duration = U64StringField(help_text="The length of a round, in seconds.")
    frequency = ComputedField(
        schedule.frequency,
        serializers.IntegerField(allow_null=True),
        help_text="Whole days, rounded up; null beyond a million.",
    )
    grace_period = U64StringField(
        allow_null=True,
        help_text="Seconds after a round's end in which paying is not late; null for a group of an older contract.",
    )
    penalty_rate = U32Field(
        allow_null=True,
        help_text="Percent, declared by the creator and charged by nobody today; null for a group of an "
        "older contract.",
    )
    insurance_rate_bps = U32Field(
        allow_null=True, help_text="Premium in hundredths of a percent; null for a group of an older contract."
    )
    max_members = U32Field(help_text="So many can join.")
    member_count = U32Field(help_text="So many have joined.")
    current_round = U32Field(help_text="From 1. Of a completed or cancelled group: its last round.")
    payout_index = U32Field(
        help_text="Position of the member who is paid next. Of a completed group: its number of members, so nobody's; "
        "of a cancelled one: the member who would have been next."
    )
    contributions_received = U32Field(
        help_text="Members who have paid this round. Of a completed or cancelled group: its last round."
    )
    collected_amount = ComputedField(
        schedule.collected_amount,
        AmountField(),
        help_text="Of this round so far. Of a completed or cancelled group: what its last round had collected, not "
        "what is held.",
    )
    payout_amount = ComputedField(
        schedule.payout_amount,
        AmountField(),
        help_text="What a payout pays with the members that there are. Of a completed or cancelled group: what one "
        "would pay; no further one comes.",
    )
    next_recipient = ComputedField(
        lambda group: group.next_address if schedule.is_active(group) else None,
        AddressField(allow_null=True),
        help_text="Null unless active.",
    )
    status = serializers.ChoiceField(
        read_only=True, choices=Group.Status.choices, help_text="`completed` wins where a group is over in both ways."
    )
    is_active = ComputedField(
        schedule.is_active, serializers.BooleanField(), help_text="Whether it is neither completed nor cancelled."
    )
    created_at = TimeField(allow_null=True, help_text="When it was made; null if no calendar holds the time.")
    round_started_at = TimeField(
        allow_null=True, help_text="Of a completed or cancelled group: when its last round began."
    )
    round_ends_at = ComputedField(
        schedule.round_ends_at,
        TimeField(allow_null=True),
        help_text="From when on paying is late. Of a completed or cancelled group: of its last round; nothing is due.",
    )
    grace_ends_at = ComputedField(
        schedule.grace_ends_at,
        TimeField(allow_null=True),
        help_text="From when on the round can be paid out; without a grace period `round_ends_at`. Of a completed or "
        "cancelled group: of its last round; nothing is paid out any more.",
    )
    modified_ledger = U32Field(help_text="When any entry that this shows last changed on the chain.")


class GroupDetailSerializer(GroupSerializer):
    """A group with its members in payout order and, where there is one, its refund request."""

    # Needs rows with `member_list`, members whose `group` is this object. groups.bodies writes the same in SQL.

    members = MemberSerializer(many=True, read_only=True, source="member_list", help_text="In payout order.")
    refund_request = ComputedField(
        lambda group: getattr(group, "refund_request", None),
        RefundRequestSerializer(allow_null=True),
        help_text="The vote on a refund, if one was ever asked for.",
    )


class UserSerializer(serializers.Serializer[User]):
    address = AddressField(source="wallet_address", help_text="The wallet.")


class DueSerializer(serializers.Serializer[GroupMember]):
    """The dues of a wallet in one active group, and its payout. Computed when asked."""

    group = U64StringField(source="group_id", help_text="The group's number.")
    name = serializers.CharField(read_only=True, source="group.name", help_text="The group's name.")
    token_address = AddressField(
        source="group.token_id",
        allow_null=True,
        help_text="The token to pay in; null for a group of an older contract.",
    )
    token = ComputedField(
        lambda member: schedule.readable_token(member.group.token),
        TokenSerializer(allow_null=True),
        help_text="The token's own description, if it can be read.",
    )
    round = U32Field(source="group.current_round", help_text="The round that is to be paid.")
    amount = AmountField(source="group.contribution_amount", help_text="Of one round.")
    amount_due = ComputedField(dues.amount_due, AmountField(), help_text="Now; 0 once this round is paid.")
    has_contributed = serializers.BooleanField(read_only=True, help_text="This round.")
    round_ends_at = ComputedField(
        lambda member: schedule.round_ends_at(member.group),
        TimeField(allow_null=True),
        help_text="Until when paying is in time.",
    )
    grace_ends_at = ComputedField(
        lambda member: schedule.grace_ends_at(member.group),
        TimeField(allow_null=True),
        help_text="From when on the round can be paid out; without a grace period `round_ends_at`.",
    )
    is_overdue = serializers.SerializerMethodField(help_text="Whether this round has ended and is not paid.")
    position = U32Field(help_text="The wallet's place in the payout order, from 0.")
    has_received_payout = ComputedField(
        dues.is_paid_out, serializers.BooleanField(), help_text="Whether its turn has been paid out."
    )
    payout_round = ComputedField(
        dues.payout_round, serializers.IntegerField(allow_null=True), help_text="Null once it was paid out."
    )
    payout_amount = ComputedField(
        dues.payout_amount, AmountField(allow_null=True), help_text="With the members that there are now."
    )
    payout_at = serializers.SerializerMethodField(help_text="At the earliest, if everyone pays in time.")

    def get_is_overdue(self, member: GroupMember) -> bool:
        return dues.is_overdue(member, self.context["now"])

    @extend_schema_field(TimeField(allow_null=True))
    def get_payout_at(self, member: GroupMember) -> str | None:
        time = dues.payout_at(member, self.context["now"])
        return TimeField().to_representation(time) if time else None
