import assert from "node:assert/strict";
import test from "node:test";
import { left } from "./countdown.ts";

const MINUTE = 60_000;
const NOW = Date.UTC(2026, 10, 18, 6, 32, 8);

/** Left of a job of `total` minutes with `remaining` minutes to go. */
function job(remaining: number, total = 120): ReturnType<typeof left> {
  const due = NOW + remaining * MINUTE;
  return left(due, due - total * MINUTE, NOW);
}

test("below an hour it counts seconds, over an hour it says hours and minutes", () => {
  assert.equal(job(31 + 20 / 60, 45).text, "31:20");
  assert.deepEqual([job(107, 120).text, job(107, 120).isLong], ["1 时 47 分", true]);
  assert.deepEqual([job(60, 120).text, job(60, 120).isLong], ["1 时 00 分", true]);
  assert.equal(job(59.99, 120).text, "59:59");
});

test("amber at five minutes or a quarter left, whichever comes first", () => {
  assert.equal(job(31, 120).tone, "");
  assert.equal(job(30, 120).tone, "warn");
  assert.equal(job(5, 10).tone, "warn");
  assert.equal(job(5.1, 10).tone, "");
});

test("over time it counts up, in red, and the bar is full", () => {
  assert.deepEqual(job(-(3 + 12 / 60), 30), { text: "+03:12", note: "超时", tone: "over", isLong: false, share: 1 });
  assert.equal(job(0, 30).tone, "over");
});

test("a signed study shows how long it took", () => {
  const took = left(NOW + MINUTE, NOW, NOW + 99 * MINUTE, NOW + 7 * MINUTE + 41_000);
  assert.deepEqual([took.text, took.tone], ["07:41", "done"]);
});

test("the share stays within 0 and 1 also when the due time was moved", () => {
  assert.equal(job(200, 120).share, 1);
  assert.equal(job(60, 120).share, 0.5);
});
