// Check what an Ajo service says of a group against any Stellar RPC: node check_group.mjs API RPC CONTRACT GROUP.

async function ask(url, body) {
  const headers = { "Content-Type": "application/json" };
  const post = body ? { method: "POST", headers, body: JSON.stringify(body) } : {};
  const answer = await fetch(url, { cache: "no-store", ...post });
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return answer.json();
}

async function onChain(rpc, keys) {
  const found = new Map();
  for (let start = 0; start < keys.length; start += 200) { // an RPC takes no more keys at once
    const params = { keys: keys.slice(start, start + 200) };
    const answer = await ask(rpc, { jsonrpc: "2.0", id: 1, method: "getLedgerEntries", params });
    for (const entry of answer.result.entries) found.set(entry.key, entry);
  }
  return found;
}

// What differs; what was written after the service last read the group is left out.
export async function check(api, rpc, contract, group) {
  const said = await ask(`${api}groups/${group}/entries/`);
  const network = (await ask(rpc, { jsonrpc: "2.0", id: 1, method: "getNetwork" })).result.passphrase;
  const isSame = said.contract === contract && said.network_passphrase === network;
  const wrong = isSame ? [] : ["another contract"];
  const found = await onChain(rpc, said.entries.map((entry) => entry.key));
  for (const entry of said.entries) {
    const real = found.get(entry.key) ?? { xdr: "nothing", lastModifiedLedgerSeq: 0 };
    if (real.xdr !== entry.xdr && real.lastModifiedLedgerSeq <= said.read_ledger)
      wrong.push(`${entry.key}: the chain has ${real.xdr}`);
  }
  return wrong;
}

if (globalThis.process?.argv[1]?.endsWith("check_group.mjs")) {
  const wrong = await check(...process.argv.slice(2));
  if (wrong.length) { console.error(wrong.join("\n")); process.exitCode = 1; }
}
