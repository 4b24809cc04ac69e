import assert from "node:assert/strict";
import test from "node:test";
import { barsOf } from "./deliverytrack.ts";
import type { Status, WorklistItem } from "./item.ts";
import { splitComplaint } from "./row.ts";
import { trackOf } from "./steptrack.ts";

function item(status: Status, more: Partial<WorklistItem> = {}): WorklistItem {
  return { status, claimed_by: null, assigned_to: null, ended_at: null, n_instances: 3, ...more } as WorklistItem;
}

test("dots fill from arrival to receipt", () => {
  const order: Status[] = ["receiving", "waiting", "to_verify", "final", "acknowledged"];
  assert.deepEqual(order.map((status) => trackOf(item(status)).done), [1, 2, 3, 4, 5]);
  assert.equal(trackOf(item("acknowledged")).current, -1);
  for (const status of ["final", "delivered", "opened"] as const) assert.equal(trackOf(item(status)).tone, "green");
});

test("the line under the dots names who has it", () => {
  assert.equal(trackOf(item("reading", { claimed_by: "沈若川" })).words, "沈若川 阅片中");
  assert.equal(trackOf(item("to_verify", { claimed_by: "周敏仪" })).words, "周敏仪 审核中");
  assert.equal(trackOf(item("waiting")).words, "待领取");
  assert.equal(trackOf(item("receiving")).words, "传输中 3 幅");
});

test("green bars only for what the peer has taken", () => {
  assert.deepEqual(["QUEUED", "SENDING", "RETRY", "DEAD", "SUPERSEDED", "ACCEPTED", "OPENED", "ACKED"].map((state) => barsOf(state as never).on), [0, 1, 1, 1, 0, 3, 4, 5]);
  assert.equal(barsOf("DEAD").tone, "red");
});

test("a complaint's first clause is the chip, the rest follows", () => {
  assert.deepEqual(splitComplaint("右侧肢体无力 50 分钟，言语不清"), ["右侧肢体无力 50 分钟", "言语不清"]);
  assert.deepEqual(splitComplaint("胸痛 2 小时"), ["胸痛 2 小时", ""]);
});
