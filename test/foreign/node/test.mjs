// Runs both official Node clients against a vault of its own: node test.mjs PROGRAM, where PROGRAM is a built mediavault.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { exercise, within } from "./client.mjs";

const startTime = 180_000; // milliseconds, on a machine that is busy or has to fetch Postgres first
const program = process.argv[2];
const dir = await mkdtemp(join(tmpdir(), "mediavault-node-"));

/** serve starts a vault whose stream API listens at an address, and answers where. */
async function serve(at) {
  const child = spawn(program, ["dev", "--data", join(dir, "data"), "--addr", "127.0.0.1:0", "--stream", at, "--stream-insecure"], { stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  let log = "";
  child.stderr.on("data", (text) => (log += text));
  const address = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the vault did not start:\n${log}`)), startTime);
    ended.then((code) => reject(new Error(`the vault ended with ${code}:\n${log}`)));
    createInterface({ input: child.stdout }).on("line", (line) => {
      log += `${line}\n`;
      const found = /protocol is spoken at (\S+)/.exec(line);
      if (found) {
        clearTimeout(timer);
        resolve(found[1]);
      }
    });
  });
  return {
    address,
    stop: async () => {
      child.kill("SIGINT");
      await within(ended, "the vault to stop");
    },
    kill: () => child.kill("SIGKILL"),
  };
}

let vault;
try {
  vault = await serve("127.0.0.1:0");
  const restart = async () => {
    await vault.stop();
    vault = await serve(vault.address);
  };
  for (const [name, Client, scheme] of [
    ["@kurrent/kurrentdb-client", "KurrentDBClient", "kurrentdb"],
    ["@eventstore/db-client", "EventStoreDBClient", "esdb"],
  ]) {
    const lib = await import(name);
    await exercise(lib, lib[Client], scheme, vault.address, restart, (what) => console.log(`${name}: ${what}`));
  }
  await vault.stop();
} catch (error) {
  console.error(error);
  process.exitCode = 1;
  vault?.kill();
} finally {
  await rm(dir, { recursive: true, force: true });
}
process.exit();
