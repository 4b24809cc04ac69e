import assert from "node:assert/strict";
import { test } from "node:test";
import type { VoiWindow } from "./display.ts";
import { autoVoi, grey, greyTable, type LutSource, modalityValue, paintColour, paintGrey, shades, tabled, windowed } from "./lut.ts";

function window(center: number, width: number, shape: VoiWindow["function"] = "LINEAR"): VoiWindow {
  return { kind: "window", center, width, function: shape, name: "" };
}

function source(given: Partial<LutSource> = {}): LutSource {
  return {
    modality_lut: { kind: "linear", slope: 1, intercept: 0 }, voi: [], auto_window: { center: 128, width: 256 },
    monochrome1: false, presentation_lut_inverse: false, pixel_padding: null, ...given,
  };
}

/** Red byte of the table for a raw value. */
const shade = (table: Uint32Array, raw: number): number => (table[raw] as number) & 0xff;

// The worked examples of PS3.3 C.11.2.1.2.1 (output range 0..255).
test("LINEAR: centre 2048, width 4096 is (x - 2047.5) / 4095 + 0.5", () => {
  assert.equal(windowed(window(2048, 4096), 0), 0);
  assert.equal(windowed(window(2048, 4096), 4095), 1);
  assert.equal(windowed(window(2048, 4096), 1000), (1000 - 2047.5) / 4095 + 0.5);
});

test("LINEAR: width 1 is a threshold, centre 2048: 2047 is black, 2048 is white", () => {
  assert.equal(windowed(window(2048, 1), 2047), 0);
  assert.equal(windowed(window(2048, 1), 2048), 1);
});

test("LINEAR: centre 0, width 100 clips at -50 and 49", () => {
  assert.equal(windowed(window(0, 100), -50), 0);
  assert.equal(windowed(window(0, 100), 49), 1);
  assert.ok(windowed(window(0, 100), 48) < 1);
});

test("LINEAR_EXACT: centre 0, width 100 clips at -50 and 50", () => {
  assert.equal(windowed(window(0, 100, "LINEAR_EXACT"), -50), 0);
  assert.equal(windowed(window(0, 100, "LINEAR_EXACT"), 50), 1);
  assert.equal(windowed(window(0, 100, "LINEAR_EXACT"), 25), 0.75);
});

test("SIGMOID: one half at the centre, 1 / (1 + e^-2) half a width above", () => {
  assert.equal(windowed(window(40, 400, "SIGMOID"), 40), 0.5);
  assert.equal(windowed(window(40, 400, "SIGMOID"), 240), 1 / (1 + Math.exp(-2)));
});

test("tables hold their ends", () => {
  const lut = { kind: "table" as const, first: -2, values: [10, 20, 30] };
  assert.deepEqual([-5, -2, -1, 0, 7].map((value) => modalityValue(lut, value)), [10, 10, 20, 30, 30]);
  const voi = { kind: "table" as const, first: 100, bits: 12, values: [0, 2048, 4095], name: "" };
  assert.deepEqual([0, 101, 500].map((value) => tabled(voi, value)), [0, 2048 / 4095, 1]);
});

test("grey rounds half up and stays in a byte", () => {
  assert.deepEqual([0, 0.5 / 255, 1, -1, 2].map(grey), [0, 1, 255, 0, 255]);
});

test("signed samples index by two's complement", () => {
  const table = greyTable(source(), window(0, 65536), false, 16, true);
  assert.equal(shade(table, 0x8000), 0);
  assert.equal(shade(table, 0x7fff), 255);
  assert.equal(shade(table, 0xffff), 127);
});

test("MONOCHROME1 and INVERSE together invert once, the key inverts again", () => {
  const full = window(128, 256);
  const both = source({ monochrome1: true, presentation_lut_inverse: true });
  assert.equal(shade(greyTable(both, full, false, 8, false), 10), 245);
  assert.equal(shade(greyTable(both, full, true, 8, false), 10), 10);
});

test("padding stays dark in either polarity", () => {
  const padded = source({ pixel_padding: [250, 255], monochrome1: true });
  for (const inverted of [false, true]) assert.equal(shade(greyTable(padded, window(128, 256), inverted, 8, false), 252), 0);
});

test("a range below one unit opens with an exact window", () => {
  assert.equal(autoVoi(source({ auto_window: { center: 0.2, width: 0.4 } })).function, "LINEAR_EXACT");
});

test("painting takes every second pixel of every second row", () => {
  const samples = Uint8Array.from({ length: 15 }, (_, index) => index);
  const out = new Uint32Array(6);
  const raster = { width: 5, height: 3, components: 1, signed: false, samples };
  paintGrey(raster, greyTable(source(), window(128, 256), false, 8, false), 2, out);
  assert.deepEqual([...out].map((value) => value & 0xff), [0, 2, 4, 10, 12, 14]);
});

test("colour passes through, opaque, and inverts by channel", () => {
  const raster = { width: 1, height: 1, components: 3, signed: false, samples: Uint8Array.of(1, 2, 3) };
  const out = new Uint32Array(1);
  paintColour(raster, shades(8, false), 1, out);
  assert.equal(out[0], 0xff030201);
  paintColour(raster, shades(8, true), 1, out);
  assert.equal(out[0], 0xfffcfdfe);
});

test("deep colour shows its highest bits, shallow colour the whole range", () => {
  const raster = { width: 1, height: 1, components: 3, signed: false, samples: Uint16Array.of(0xff80, 0x00ff, 0x1234) };
  const out = new Uint32Array(1);
  paintColour(raster, shades(16, false), 1, out);
  assert.equal(out[0], 0xff1200ff);
  paintColour(raster, shades(16, true), 1, out);
  assert.equal(out[0], 0xffedff00);
  assert.deepEqual([...shades(12, false).filter((_, sample) => sample % 1000 === 15)], [0, 63, 125, 188, 250]);
  assert.deepEqual([...shades(2, false)], [0, 85, 170, 255]);
});
