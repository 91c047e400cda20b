-- 60,000 rows in each table that a list reads. Adverse on purpose: what a filter seeks is oldest where lists begin at the
-- newest, and amounts grow with ids, so that a planner that takes values to be spread evenly is wrong.
INSERT INTO soroban_checkpoint (network_passphrase, contract, era, cursor, start_ledger, ledger, chain_ledger, paused,
    group_count, wasm_hash, instance_xdr, drift_state, drift_metadata, drift_history, halted, is_loaded)
  VALUES ('Test', 'C', gen_random_uuid(), '', 1, 9, 9, false, 60000, '', '', 0, 0, 0, '', true);
INSERT INTO groups_user (id, wallet_address)
  SELECT i, 'G' || lpad(i::text, 55, 'A') FROM generate_series(1, 60000) i;
INSERT INTO groups_token (id, address, symbol, name, decimals, is_asset_contract, verified, read_ledger)
  SELECT i, 'C' || lpad(i::text, 55, 'A'), 'T' || i, '', 7, true, false, 1 FROM generate_series(1, 4) i;
INSERT INTO groups_group (id, name, description, rules, creator_id, token_address, contribution_amount,
    cycle_duration, grace_period, penalty_rate, insurance_rate_bps, max_members, member_count, current_round,
    payout_index, contributions_received, status, created_at, round_started_at, entry_xdr, metadata_xdr,
    modified_ledger, synced_ledger, revision)
  SELECT i, CASE WHEN i % 20000 = 7 THEN 'Rarely 100%_ seen ' ELSE 'Circle of savers ' END || i, 'd', 'r',
    CASE WHEN i < 20000 THEN 1 ELSE i % 6000 + 1 END,
    CASE WHEN i <= 10 THEN 'C' || lpad('4', 55, 'A') WHEN i % 5 = 0 THEN NULL
      ELSE 'C' || lpad((i % 3 + 1)::text, 55, 'A') END,
    i * 1000, 604800, 3600, 5, 100, 10, 3, 1, i % 3, CASE WHEN i BETWEEN 281 AND 300 THEN 3 ELSE 1 END,
    CASE WHEN i <= 300 THEN 'active' WHEN i > 57000 THEN 'cancelled' ELSE 'completed' END,
    '2026-01-01Z'::timestamptz + i * interval '1 second', '2026-01-01Z'::timestamptz + i * interval '1 second',
    '', '', i, i, 1
  FROM generate_series(1, 60000) i;
INSERT INTO groups_groupmember (group_id, user_id, position, has_contributed)
  SELECT i, u.user_id, u.position, true FROM generate_series(1, 60000) i,
    LATERAL (VALUES (0, CASE WHEN i < 20000 THEN 1 ELSE i % 6000 + 1 END), (1, 5000 + i % 900), (2, 10 + i % 1900)
    ) AS u (position, user_id)
  ON CONFLICT DO NOTHING;
INSERT INTO soroban_contractevent (id, type, is_system, group_id, round, data, topics, value, tx_hash, ledger, created_at)
  SELECT lpad((i::bigint << 32)::text, 19, '0') || '-0000000000',
    CASE WHEN i % 20000 = 5 THEN 'cancel' ELSE 'contrib' END, false, i % 1000 + 1, 1,
    jsonb_build_object('member', 'G' || lpad((i % 5999 + 1)::text, 55, 'A'), 'amount', '10'), '[]', '',
    lpad(to_hex(i / 3), 64, '0'), i, '2026-01-01Z'::timestamptz + i * interval '5 seconds'
  FROM generate_series(1, 60000) i;
-- the first 2,000 were recovered from state: no event, no transaction, no time
INSERT INTO contributions_contribution (group_id, user_id, round, amount, tx_hash, event_id, ledger, created_at)
  SELECT i % 1000 + 1, i % 5999 + 1, CASE WHEN i % 30000 = 9 THEN 77 WHEN i < 30000 THEN 1 ELSE i % 12 + 2 END, 10,
    e.tx_hash, e.id, e.ledger, e.created_at
  FROM generate_series(1, 60000) i LEFT JOIN soroban_contractevent e
    ON i > 2000 AND e.id = lpad((i::bigint << 32)::text, 19, '0') || '-0000000000'
  ON CONFLICT DO NOTHING;
INSERT INTO contributions_payout (group_id, user_id, round, amount, tx_hash, event_id, ledger, created_at)
  SELECT group_id, user_id, round, amount, tx_hash, event_id, ledger, created_at FROM contributions_contribution;
INSERT INTO contributions_refund (group_id, user_id, round, amount, tx_hash, event_id, ledger, created_at, reason)
  SELECT DISTINCT ON (group_id, user_id) group_id, user_id, round, amount, tx_hash, event_id, ledger, created_at, 1
  FROM contributions_contribution ORDER BY group_id, user_id, id;
INSERT INTO soroban_chaintransaction (hash, xdr, function, group_id, source, sequence, max_time, max_fee, status, code,
    detail, ledger, submitted_ledger, attempts, last_answer, next_attempt_at, next_send_ledger, created_at, updated_at)
  SELECT lpad(to_hex(i), 64, '0'), '', CASE WHEN i % 20000 = 9 THEN 'pause' ELSE 'contribute' END, i % 1000 + 1,
    'G' || lpad((i % 6000 + 1)::text, 55, 'A'), i, 1800000000, 100, CASE WHEN i <= 300 THEN 'pending' ELSE 'success' END,
    '', '', i, i, 1, '', now(), 0, now(), now()
  FROM generate_series(1, 60000) i;
ANALYZE;
