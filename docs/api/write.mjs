// Have one call of the contract built, signed by a wallet, submitted, and followed to its end.
// `wallet` is any with SEP-43's methods, as Freighter's API has them; `request` is the body of transactions/build/.
export async function write(api, wallet, request) {
  let built = await post(`${api}transactions/build/`, request);
  const network = { networkPassphrase: built.network_passphrase };
  const signatures = [];
  for (const { address, preimage } of built.auth_entries) {
    const signed = await asked(wallet.signAuthEntry(preimage, { ...network, address }));
    signatures.push({ address, public_key: signed.signerAddress, signature: signed.signedAuthEntry });
  }
  if (signatures.length) built = await post(`${api}transactions/prepare/`, { xdr: built.xdr, signatures });
  const signed = await asked(wallet.signTransaction(built.xdr, { ...network, address: built.source }));
  return followed(api, signed.signedTxXdr);
}

// Post until the end is known: a transaction that was posted before is answered as it stands, and nothing is sent twice.
export async function followed(api, xdr) {
  for (;;) {
    const transaction = await post(`${api}transactions/`, { xdr }, { Prefer: "wait=25" });
    if (transaction.status !== "pending") return transaction;
    await pause(2); // the wait is over, or there was no place to wait
  }
}

async function asked(promise) {
  const answer = await promise;
  if (answer.error) throw new Error(answer.error.message); // as SEP-43 says that its user declined
  return answer;
}

async function post(address, body, headers = {}) {
  headers = { "Content-Type": "application/json", ...headers };
  for (;;) {
    const answer = await fetch(address, { method: "POST", headers, body: JSON.stringify(body) });
    if (answer.ok) return answer.json();
    if (![429, 503].includes(answer.status)) throw Object.assign(new Error("refused"), await answer.json());
    await pause(answer.headers.get("Retry-After"));
  }
}

function pause(seconds) {
  return new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
}
