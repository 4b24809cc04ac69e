/** Expected answers written down by hand from how complaints are worded in township requests. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { hint } from "./triage.ts";

test("chest pain with its duration", () => {
  assert.deepEqual(hint("胸闷、胸痛 2 小时，无放射痛，否认高血压"), { pathway: "chest_pain", words: "胸痛 2 小时" });
  assert.deepEqual(hint("突发胸痛 2 小时，大汗"), { pathway: "chest_pain", words: "胸痛 2 小时" });
  assert.deepEqual(hint("Chest pain for 1 h"), { pathway: "chest_pain", words: "Chest pain" });
});

test("stroke goes before chest pain", () => {
  assert.deepEqual(hint("右侧肢体无力 50 分钟，言语不清，胸闷"), { pathway: "stroke", words: "右侧肢体无力 50 分钟" });
  assert.equal(hint("口角歪斜 2 小时")?.pathway, "stroke");
  assert.equal(hint("嘴歪半天")?.pathway, "stroke");
});

test("what is denied is no hint", () => {
  for (const words of ["否认胸痛", "咳嗽 2 周，无胸痛、胸闷", "否认胸痛、胸闷，咳嗽", "除外卒中", "no chest pain", ""]) assert.equal(hint(words), null, words);
  assert.equal(hint("否认高血压，胸痛 1 小时")?.pathway, "chest_pain");
});

test("other complaints say nothing", () => {
  for (const words of ["腰痛 3 月 加重 1 周", "扭伤 3 小时，不能负重", "入职体检", "咳嗽 2 周，否认发热"]) assert.equal(hint(words), null, words);
});
