/** Measurements: their numbers and words, and how they are drawn over the picture. */
import { t } from "../i18n.ts";
import { formatNumber, hasMillimetres, NO_BREAK_SPACE, spacingWord, type SpacingType } from "../units.ts";
import type { Slice } from "./display.ts";
import { svg } from "./dom.ts";
import { apply, distance, type Matrix, type Point } from "./geometry.ts";

export interface Measurement {
  id: string;
  /** In the order of drawing, from 1. */
  number: number;
  kind: "length";
  sop_instance_uid: string;
  frame_number: number;
  /** Columns and rows, (0, 0) being the upper left corner of the upper left pixel, as SCOORD counts. */
  points: [Point, Point];
  value: number;
  unit: "mm" | "px";
  spacing_type: SpacingType;
  /** `35.2 mm 探测器平面` */
  text: string;
}

/** ① to ⑳, then plain figures. */
export function circled(number: number): string {
  return number <= 20 ? String.fromCodePoint(0x245f + number) : `(${number})`;
}

export function measureLength(id: string, number: number, slice: Slice, points: [Point, Point]): Measurement {
  const { spacing, sop_instance_uid } = slice.instance;
  const known = hasMillimetres(spacing);
  const scale = known ? { row_mm: spacing.row_mm as number, column_mm: spacing.column_mm as number } : null;
  const value = distance(points[0], points[1], scale);
  const unit = known ? "mm" : "px";
  const amount = `${formatNumber(value, 1)}${NO_BREAK_SPACE}${unit}`;
  return {
    id, number, kind: "length", sop_instance_uid, frame_number: slice.frame_number, points, value, unit,
    spacing_type: known ? spacing.type : "none",
    text: known ? `${amount} ${spacingWord(spacing)}` : amount,
  };
}

const PLATE_HEIGHT = 20;

/** One length as SVG in CSS pixels: end dots on the active one, end ticks on the others, the plate beside the line. */
export function drawMark(mark: Measurement, active: boolean, matrix: Matrix, ratio: number): SVGGElement {
  const [a, b] = mark.points.map((point) => apply(matrix, point).map((value) => value / ratio)) as [number[], number[]];
  const [x1, y1, x2, y2] = [a[0] ?? 0, a[1] ?? 0, b[0] ?? 0, b[1] ?? 0];
  const words = `${circled(mark.number)} ${mark.text}`;
  const group = svg("g", { class: active ? "mark active" : "mark", "data-measurement": mark.id, "aria-label": t("engine.length_label", { value: words }) });
  group.append(svg("line", { x1, y1, x2, y2 }), ...(active ? dots(x1, y1, x2, y2) : ticks(x1, y1, x2, y2)));
  group.append(...plate(words, (x1 + x2) / 2, Math.min(y1, y2) - PLATE_HEIGHT - 8));
  return group;
}

function dots(x1: number, y1: number, x2: number, y2: number): SVGElement[] {
  return [svg("circle", { cx: x1, cy: y1, r: 3 }), svg("circle", { cx: x2, cy: y2, r: 3 })];
}

function ticks(x1: number, y1: number, x2: number, y2: number): SVGElement[] {
  const length = Math.hypot(x2 - x1, y2 - y1) || 1;
  const [dx, dy] = [(5 * (y2 - y1)) / length, (-5 * (x2 - x1)) / length];
  return [[x1, y1], [x2, y2]].map(([x = 0, y = 0]) => svg("line", { x1: x - dx, y1: y - dy, x2: x + dx, y2: y + dy }));
}

function plate(words: string, x: number, y: number): SVGElement[] {
  const width = [...words].reduce((sum, letter) => sum + (letter > "\u2e80" || /[\u2460-\u2473]/.test(letter) ? 12.5 : 6.9), 12);
  const left = Math.max(2, x - width / 2);
  const top = Math.max(2, y);
  const rect = svg("rect", { x: left, y: top, width, height: PLATE_HEIGHT, rx: 3 });
  return [rect, svg("text", { x: left + 6, y: top + 14 }, words)];
}
