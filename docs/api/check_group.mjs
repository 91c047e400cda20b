// Check what an Ajo service says of a group against any Stellar RPC: node check_group.mjs API RPC CONTRACT GROUP.

async function ask(url, body) {
  const headers = { "Content-Type": "application/json" };
  const post = body ? { method: "POST", headers, body: JSON.stringify(body) } : {};
  try {
    const answer = await fetch(url, { cache: "no-store", ...post });
    if (!answer.ok) throw new Error(answer.status);
    return await answer.json();
  } catch (failure) {
    throw new Error(`${url}: ${failure.cause?.message || failure.message}`);
  }
}

async function call(rpc, method, params) {
  const answer = await ask(rpc, { jsonrpc: "2.0", id: 1, method, params });
  if (!answer.result) throw new Error(`${rpc}: ${answer.error?.message}`);
  return answer.result;
}

// What differs; what was written after the service last read the group is left out.
export async function check(api, rpc, contract, group) {
  const said = await ask(`${api}groups/${group}/entries/`);
  const network = (await call(rpc, "getNetwork")).passphrase;
  const isSame = said.contract === contract && said.network_passphrase === network;
  const wrong = isSame ? [] : ["another contract"];
  const found = new Map();
  for (let start = 0; start < said.entries.length; start += 200) { // an RPC takes no more keys at once
    const keys = said.entries.slice(start, start + 200).map((entry) => entry.key);
    for (const entry of (await call(rpc, "getLedgerEntries", { keys })).entries) found.set(entry.key, entry);
  }
  for (const entry of said.entries) {
    const real = found.get(entry.key) ?? { xdr: "nothing", lastModifiedLedgerSeq: 0 };
    if (real.xdr !== entry.xdr && real.lastModifiedLedgerSeq <= said.read_ledger)
      wrong.push(`${entry.key}: the chain has ${real.xdr}`);
  }
  return wrong;
}

if (globalThis.process?.argv[1]?.endsWith("check_group.mjs")) {
  const wrong = await check(...process.argv.slice(2)).catch((failure) => [`not checked: ${failure.message}`]);
  if (wrong.length) { console.error(wrong.join("\n")); process.exitCode = 1; }
  else console.log("every entry is as the chain has it");
}
