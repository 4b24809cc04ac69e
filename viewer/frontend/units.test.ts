import assert from "node:assert/strict";
import { test } from "node:test";
import { translate } from "./i18n.ts";
import { formatNumber, hasMillimetres, MINUS, NO_BREAK_SPACE, spacingText, THIN_SPACE, withUnit } from "./units.ts";

test("numbers have a true minus and thin spaces between thousands", () => {
  assert.equal(formatNumber(-600), `${MINUS}600`);
  assert.equal(formatNumber(22480), `22${THIN_SPACE}480`);
  assert.equal(formatNumber(1234567.891, 1), `1${THIN_SPACE}234${THIN_SPACE}567.9`);
  assert.equal(formatNumber(999), "999");
});

test("nothing is minus zero, and no number is a dash", () => {
  assert.equal(formatNumber(-0.04, 1), "0.0");
  assert.equal(formatNumber(Number.NaN), "–");
});

test("value and unit do not part", () => {
  assert.equal(withUnit(44.51, "mm", 1), `44.5${NO_BREAK_SPACE}mm`);
});

test("mm only where both spacings and their origin are known", () => {
  assert.ok(hasMillimetres({ row_mm: 0.2, column_mm: 0.2, type: "detector" }));
  assert.ok(!hasMillimetres({ row_mm: 0.2, column_mm: 0.2, type: "none" }));
  assert.ok(!hasMillimetres({ row_mm: null, column_mm: 0.2, type: "patient" }));
});

test("the spacing says where it comes from", () => {
  assert.match(spacingText({ row_mm: 0.143, column_mm: 0.143, type: "detector" }), /0\.143\u00a0mm 探测器平面/);
  assert.match(spacingText({ row_mm: 1.2, column_mm: 1.201, type: "fiducial" }), /1\.200.×.1\.201\u00a0mm 已校准/);
  assert.match(spacingText({ row_mm: null, column_mm: null, type: "none" }), /px/);
});

test("sentences fill their places in both languages and unknown keys show themselves", () => {
  assert.equal(translate("engine.slice", "zh", { slice: 52, count: 100 }), "层 52 / 100");
  assert.equal(translate("engine.slice", "en", { slice: 52, count: 100 }), "Image 52 / 100");
  assert.equal(translate("engine.absent", "zh"), "engine.absent");
});
