// Does with one official client what a program would do: append, read, subscribe, share a subscription, and go on after the
// server was away. Every step says what it found; the first that is wrong ends it.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

const patience = 30_000; // milliseconds, for anything that is waited for

/** within fails when a promise is not kept in time. */
export async function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), patience);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** take reads n events of a subscription and leaves it open. */
function take(subscription, n, each = () => {}) {
  const got = [];
  return within(
    new Promise((resolve, reject) => {
      const done = (settle, value) => {
        subscription.off("data", onData);
        subscription.off("error", onError);
        settle(value);
      };
      const onError = (error) => done(reject, error);
      const onData = async (resolved) => {
        if (!resolved.event) return;
        try {
          if ((await each(resolved, got.length)) === "again") return;
        } catch (error) {
          done(reject, error);
          return;
        }
        got.push(resolved.event);
        if (got.length === n) done(resolve, got);
      };
      subscription.on("data", onData);
      subscription.on("error", onError);
    }),
    `${n} events`,
  );
}

async function collect(read) {
  const list = [];
  for await (const resolved of read) if (resolved.event) list.push(resolved.event);
  return list;
}

/**
 * exercise runs everything with one client library.
 * restart ends the server and starts it again at the same address.
 */
export async function exercise(lib, Client, scheme, address, restart, say) {
  const connect = () => Client.connectionString(`${scheme}://${address}?tls=false`);
  const { jsonEvent, binaryEvent, NO_STREAM, START, END, FORWARDS, BACKWARDS } = lib;
  let client = connect();
  const stream = `app-${randomUUID().replaceAll("-", "")}`;
  const mine = { filter: lib.streamNameFilter({ prefixes: [stream], checkpointInterval: 1 }) };
  const numbered = (from, n) => Array.from({ length: n }, (_, i) => jsonEvent({ type: "node-counted", data: { n: from + i }, metadata: { by: "node" } }));
  const numbers = (events) => events.filter((e) => e.type === "node-counted").map((e) => e.data.n);

  const expecting = (state) => ({ expectedRevision: state, streamState: state }); // one's name for it and the other's
  const raw = binaryEvent({ type: "node-bytes", data: Buffer.from([0, 1, 2, 255]) });
  const first = [...numbered(0, 3), raw];
  const written = await client.appendToStream(stream, first, expecting(NO_STREAM));
  assert.equal(written.nextExpectedRevision, 3n);
  const repeated = await client.appendToStream(stream, first, expecting(NO_STREAM));
  assert.equal(repeated.nextExpectedRevision, 3n);
  await assert.rejects(client.appendToStream(stream, numbered(9, 1), expecting(NO_STREAM)), lib.WrongExpectedVersionError);
  say("appends, once, and not where something else was expected");

  const there = await collect(client.readStream(stream, { direction: FORWARDS, fromRevision: START }));
  assert.deepEqual(there.map((e) => e.id), first.map((e) => e.id));
  assert.deepEqual(numbers(there), [0, 1, 2]);
  assert.deepEqual(Buffer.from(there[3].data), Buffer.from([0, 1, 2, 255]));
  assert.deepEqual(there[0].metadata, { by: "node" });
  const back = await collect(client.readStream(stream, { direction: BACKWARDS, fromRevision: END, maxCount: 2 }));
  assert.deepEqual(back.map((e) => e.revision), [3n, 2n]);
  await assert.rejects(collect(client.readStream(`${stream}-nobody`)), lib.StreamNotFoundError);
  say("reads forwards and backwards, byte for byte");

  const all = await collect(client.readAll({ direction: FORWARDS, fromPosition: START, maxCount: 3, ...mine }));
  assert.deepEqual(numbers(all), [0, 1, 2]);
  say("reads $all through a filter");

  const subscription = client.subscribeToAll({ fromPosition: START, ...mine });
  const seen = take(subscription, 6);
  await client.appendToStream(stream, numbered(3, 2), expecting(3n));
  const followed = await seen;
  assert.deepEqual(numbers(followed), [0, 1, 2, 3, 4]);
  await subscription.unsubscribe();
  say("subscribes through a filter, to history and to what is new");

  await client.createPersistentSubscriptionToStream(stream, "workers", lib.persistentSubscriptionToStreamSettingsFromDefaults({ startFrom: START, checkPointLowerBound: 1, checkPointUpperBound: 1, checkPointAfter: 100 }));
  let shared = client.subscribeToPersistentSubscriptionToStream(stream, "workers");
  let refused = false;
  const worked = await take(shared, 6, async (resolved) => {
    if (resolved.event.revision === 1n && !refused) {
      refused = true;
      await shared.nack("retry", "once more", resolved);
      return "again";
    }
    await shared.ack(resolved);
  });
  assert.ok(refused);
  assert.deepEqual(new Set(worked.map((e) => e.revision)), new Set([0n, 1n, 2n, 3n, 4n, 5n]));
  const info = await client.getPersistentSubscriptionToStreamInfo(stream, "workers");
  assert.equal(info.groupName, "workers");
  await shared.unsubscribe();
  say("shares a persistent subscription, and is given again what it refused once");

  const last = followed.at(-1).position;
  const lost = client.subscribeToAll({ fromPosition: last, ...mine });
  const broke = new Promise((resolve) => lost.once("error", resolve));
  lost.on("data", () => {});
  await within(new Promise((resolve) => lost.once("confirmation", resolve)), "a subscription");
  await restart();
  await within(broke, "the subscription to say that the server is gone");
  let again;
  for (const began = Date.now(); ; ) {
    try {
      again = await client.appendToStream(stream, numbered(5, 2), expecting(5n));
      break;
    } catch (error) {
      if (Date.now() - began > patience) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  assert.equal(again.nextExpectedRevision, 7n);
  const resumed = client.subscribeToAll({ fromPosition: last, ...mine });
  assert.deepEqual(numbers(await take(resumed, 2)), [5, 6]);
  await resumed.unsubscribe();
  shared = client.subscribeToPersistentSubscriptionToStream(stream, "workers");
  const missed = new Set();
  await within(
    new Promise((resolve, reject) => {
      shared.on("error", reject);
      shared.on("data", async (resolved) => {
        await shared.ack(resolved);
        missed.add(resolved.event.revision);
        if ([6n, 7n].every((r) => missed.has(r))) resolve();
      });
    }),
    "what the workers had not had yet",
  );
  await shared.unsubscribe();
  say("goes on after the server was away: no event is missing, and none comes twice to a subscription");

  await client.deletePersistentSubscriptionToStream(stream, "workers");
  await client.deleteStream(stream);
  await assert.rejects(collect(client.readStream(stream)), lib.StreamNotFoundError);
  await client.dispose?.();
  say("deletes what it wrote");
}
