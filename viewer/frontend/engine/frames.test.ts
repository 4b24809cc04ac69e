import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError, type ByteRequest } from "../server.ts";
import { cacheCap, outward } from "./cache.ts";
import type { FrameRef } from "./display.ts";
import { FrameStore } from "./frames.ts";
import type { Raster } from "./lut.ts";

const MIB = 1024 * 1024;

function frame(name: number, side = 512, bytes = 1000): FrameRef {
  return {
    url: `/f/${name}`, bytes,
    levels: [
      { width: side / 4, height: side / 4, bytes_end: bytes / 10 },
      { width: side / 2, height: side / 2, bytes_end: bytes / 4 },
      { width: side, height: side, bytes_end: bytes },
    ],
  };
}

/** A server that notes what it is asked, and a decoder whose pictures have the asked size. */
function world(frames: FrameRef[], cap?: number, failing: Record<string, string> = {}) {
  const asked: string[] = [];
  const decoded: number[] = [];
  const fetchBytes = async (url: string, request: ByteRequest): Promise<void> => {
    const whole = frames.find((one) => one.url === url) as FrameRef;
    const start = request.start ?? 0;
    const end = request.end ?? whole.bytes;
    asked.push(`${url} ${start}-${end}`);
    await Promise.resolve();
    if (failing[url] === "short") return request.onChunk(new Uint8Array(10), 0);
    if (failing[url]) throw new ApiError(404, failing[url] as string, "");
    for (let at = start; at < end; at += 50) {
      request.onChunk(new Uint8Array(Math.min(50, end - at)), at);
      await Promise.resolve();
    }
  };
  const decode = async (bytes: Uint8Array, reduction: number): Promise<Raster> => {
    decoded.push(bytes.length);
    await Promise.resolve();
    const side = 512 >> reduction;
    return { width: side, height: side, components: 1, signed: false, samples: new Uint16Array(side * side) };
  };
  return { store: new FrameStore(fetchBytes, decode, cap), asked, decoded };
}

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30));

test("64 MiB for each GiB of the machine, within bounds", () => {
  assert.equal(cacheCap(4), 256 * MIB);
  assert.equal(cacheCap(0.5), 128 * MIB);
  assert.equal(cacheCap(64), 1024 * MIB);
  assert.equal(cacheCap(undefined), 256 * MIB);
});

test("outward goes both ways and ends", () => {
  assert.deepEqual([...outward(1, 4)], [1, 2, 0, 3]);
  assert.deepEqual([...outward(0, 0)], []);
});

test("the slice on screen is whole first, then its neighbours small, then all whole", async () => {
  const frames = [0, 1, 2, 3].map((name) => frame(name));
  const { store, asked } = world(frames);
  store.want({ frames, current: 1, priority: 0 });
  await settled();
  assert.equal(asked[0], "/f/1 0-1000");
  assert.deepEqual(asked.slice(1, 4), ["/f/2 0-250", "/f/0 0-250", "/f/3 0-250"]);
  assert.deepEqual(asked.slice(4).sort(), ["/f/0 250-1000", "/f/2 250-1000", "/f/3 250-1000"]);
  assert.deepEqual(store.usage(), { bytes: 4 * 512 * 512 * 2, cap: cacheCap(undefined), lossless: 4, frames: 4 });
});

test("each complete level of the slice on screen is decoded from exactly its prefix", async () => {
  const frames = [frame(0)];
  const { store, decoded } = world(frames);
  store.want({ frames, current: 0, priority: 0 });
  await settled();
  assert.equal(decoded[0], 100);
  assert.equal(decoded.at(-1), 1000);
  assert.ok(decoded.every((length) => [100, 250, 1000].includes(length)));
});

test("a frame that is refused or cut short fails alone and can be fetched again", async () => {
  const frames = [0, 1, 2].map((name) => frame(name));
  const failing: Record<string, string> = { "/f/0": "short", "/f/1": "not_found" };
  const { store } = world(frames, undefined, failing);
  store.want({ frames, current: 0, priority: 0 });
  await settled();
  assert.deepEqual(frames.map((one) => store.slot(one).error), ["frame_incomplete", "not_found", null]);
  assert.equal(store.slot(frames[2] as FrameRef).quality, "lossless");
  delete failing["/f/0"];
  store.retry(frames[0] as FrameRef);
  await settled();
  assert.equal(store.slot(frames[0] as FrameRef).quality, "lossless");
});

test("the cap holds: what lies farther is not loaded, and gives way when the reader moves on", async () => {
  const frames = Array.from({ length: 20 }, (_, name) => frame(name));
  const slice = 512 * 512 * 2;
  const { store, asked } = world(frames, 5 * slice);
  const demand = { frames, current: 0, priority: 0 };
  store.want(demand);
  await settled();
  assert.ok(store.usage().bytes <= 5 * slice, String(store.usage().bytes));
  assert.equal(store.slot(frames[0] as FrameRef).quality, "lossless");
  assert.notEqual(store.slot(frames[19] as FrameRef).quality, "lossless");
  demand.current = 19;
  store.want(demand);
  await settled();
  assert.equal(store.slot(frames[19] as FrameRef).quality, "lossless");
  assert.ok(store.usage().bytes <= 6 * slice, String(store.usage().bytes));
  assert.ok(asked.length < 100, `${asked.length} requests: frames are let go of and fetched again without end`);
});

test("a closed study leaves nothing in memory", async () => {
  const frames = [frame(0), frame(1)];
  const { store } = world(frames);
  const demand = { frames, current: 0, priority: 0 };
  store.want(demand);
  await settled();
  store.release(demand);
  assert.equal(store.usage().bytes, 0);
  assert.equal(store.usage().frames, 0);
});
