import assert from "node:assert/strict";
import { test } from "node:test";
import { apply, distance, fitZoom, inverse, turnedEdges, viewMatrix } from "./geometry.ts";

const canvas = { width: 400, height: 300 };
const image = { columns: 100, rows: 50, aspect: 1 };
const upright = { zoom: 1, pan: [0, 0] as [number, number], turns: 0, flipped: false };

test("the middle of the image is the middle of the canvas, however turned", () => {
  for (const turns of [0, 1, 2, 3]) {
    for (const flipped of [false, true]) {
      assert.deepEqual(apply(viewMatrix({ ...upright, turns, flipped }, canvas, image), [50, 25]), [200, 150]);
    }
  }
});

test("a quarter turn clockwise brings the left edge up", () => {
  const matrix = viewMatrix({ ...upright, turns: 1 }, canvas, image);
  assert.deepEqual(apply(matrix, [0, 25]), [200, 100]);
  assert.deepEqual(turnedEdges({ left: "R", right: "L", top: "A", bottom: "P" }, { turns: 1, flipped: false }), {
    top: "R", right: "A", bottom: "L", left: "P",
  });
});

test("a flip changes left and right alone", () => {
  const edges = turnedEdges({ left: "R", right: "L", top: "A", bottom: "P" }, { turns: 0, flipped: true });
  assert.deepEqual(edges, { top: "A", right: "R", bottom: "P", left: "L" });
});

test("there and back", () => {
  const matrix = viewMatrix({ zoom: 2.5, pan: [10, -7], turns: 3, flipped: true }, canvas, { ...image, aspect: 1.4 });
  const [x, y] = apply(inverse(matrix), apply(matrix, [12.5, 40]));
  assert.ok(Math.hypot(x - 12.5, y - 40) < 1e-9);
});

test("fitting minds the turn and the shape of a pixel", () => {
  assert.equal(fitZoom(canvas, image, 0), 4);
  assert.equal(fitZoom(canvas, image, 1), 3);
  assert.equal(fitZoom(canvas, { columns: 100, rows: 100, aspect: 2 }, 0), 1.5);
});

test("lengths use each spacing along its own axis, or count pixels", () => {
  assert.equal(distance([0, 0], [30, 40], null), 50);
  assert.equal(distance([0, 0], [30, 40], { row_mm: 0.5, column_mm: 0.2 }), Math.hypot(6, 20));
});
