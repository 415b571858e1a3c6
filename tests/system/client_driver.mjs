// Calls one method of contrib/clients/slipway.ts, see client_driver.py.
import { pathToFileURL } from "node:url";

const [client, url, method, text] = process.argv.slice(2);
const { JobBuilder, SlipwayClient, SlipwayError } = await import(pathToFileURL(client).href);
const say = (what) => console.log(JSON.stringify(what));
const args = JSON.parse(text);

async function call() {
  if (method === "builder")
    return args.reduce((b, [name, ...rest]) => b[name](...rest), new JobBuilder()).build();
  const c = new SlipwayClient(url || undefined);
  if (method === "waitForCompletion") {
    args[1] ??= {};
    args[1].onProgress = (s) => say({ progress: s.status });
  }
  const result = c[method](...args);
  if (method === "streamLogs") {
    for await (const e of result)
      say(e);
    return null;
  }
  if (method === "eachJob") {
    for await (const job of result)
      say({ job: job.id });
    return null;
  }
  return await result;
}

try {
  say({ result: await call() });
} catch (e) {
  if (!(e instanceof SlipwayError))
    throw e;
  const { message, status, code, field } = e;
  say({ error: { message, status, code, field: field ?? null } });
}
