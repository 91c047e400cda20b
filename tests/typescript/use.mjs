// Calls what the guide's TypeScript exports: node use.mjs MODULE API GROUP ADDRESS; prints one line of JSON.
const [path, api, id, address] = process.argv.slice(2);
const { group, owed, paid } = await import(path);
const read = async (rest) => (await fetch(`${api}${rest}`)).json();
const events = (await read("events/?limit=200")).results;
const refusal = await group(api, "999").catch((error) => error.message);
console.log(
  JSON.stringify({
    group: await group(api, id),
    paid: String(events.map(paid).reduce((sum, each) => sum + each, 0n)),
    owed: owed(await read(`users/${address}/dues/`)).map(String),
    refusal,
  }),
);
