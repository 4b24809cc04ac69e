import assert from "node:assert/strict";
import { test } from "node:test";
import { actionOf } from "./keys.ts";
import { dragged } from "./tools/window.ts";
import { circled } from "./marks.ts";
import { presetsOf } from "./presets.ts";

const press = (code: string, more: Partial<KeyboardEvent> = {}) => actionOf({
  code, shiftKey: false, ctrlKey: false, altKey: false, metaKey: false, isComposing: false, ...more,
});

test("keys by place; chords and an input method at work are left alone", () => {
  assert.deepEqual(press("KeyW"), { tool: "window" });
  assert.equal(press("KeyW", { ctrlKey: true }), null);
  assert.equal(press("KeyW", { altKey: true }), null);
  assert.equal(press("KeyW", { isComposing: true }), null);
  assert.equal(press("KeyO"), "rotate");
  assert.equal(press("KeyO", { shiftKey: true }), "overlays");
  assert.equal(press("KeyI", { shiftKey: true }), null);
});

test("a drag across 300 pixels doubles the width; the width never falls below what its function allows", () => {
  const start = { kind: "window" as const, center: 40, width: 400, function: "LINEAR" as const, name: "x" };
  assert.deepEqual(dragged(start, 300, 0), { ...start, width: 800, name: "" });
  assert.deepEqual(dragged(start, -900, 30), { ...start, width: 1, center: 80, name: "" });
});

test("CT has its windows on 1 to 4, and the whole range on the last key", () => {
  const presets = presetsOf("CT", undefined);
  const windows = presets.slice(0, 4).map(({ choice }) => (choice.kind === "set" && choice.voi.kind === "window" ? [choice.voi.width, choice.voi.center] : null));
  assert.deepEqual(windows, [[1500, -600], [400, 40], [2000, 500], [80, 40]]);
  assert.deepEqual(presets.at(-1)?.choice, { kind: "auto" });
});

test("measurements are numbered in circles to twenty", () => {
  assert.deepEqual([1, 20, 21].map(circled), ["①", "⑳", "(21)"]);
});
