import assert from "node:assert/strict";
import test from "node:test";
import { OneAtATime } from "./one_at_a_time.ts";

test("who asks during a load gets the answer of the next one, and one serves them all", async () => {
  const answers: (() => void)[] = [];
  const loader = new OneAtATime(() => new Promise<void>((resolve) => answers.push(resolve)));
  const first = loader.ask();
  let isAnswered = false;
  const later = [loader.ask(), loader.ask()];
  void later[0]?.then(() => (isAnswered = true));
  assert.equal(answers.length, 1);
  answers[0]?.();
  await first;
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual([answers.length, isAnswered, loader.isRunning], [2, false, true]);
  answers[1]?.();
  await Promise.all(later);
  assert.deepEqual([isAnswered, loader.isRunning], [true, false]);
});

test("a load that failed does not stop the next one", async () => {
  let nLoads = 0;
  const loader = new OneAtATime(() => (nLoads++ === 0 ? Promise.reject(new Error("network")) : Promise.resolve()));
  const first = loader.ask();
  const second = loader.ask();
  await assert.rejects(first, /network/);
  await second;
  assert.equal(nLoads, 2);
});
