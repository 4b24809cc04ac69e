/** Drag: right widens the window, down raises its level; the step follows the width it starts from. */
import { autoVoi } from "../lut.ts";
import type { VoiWindow } from "../display.ts";
import type { Tool } from "./tool.ts";

/** So many CSS pixels change the window by its own width. */
const TRAVEL = 300;

/** The window after a drag by `dx`, `dy`; whole numbers where the range is not a small one. */
export function dragged(start: VoiWindow, dx: number, dy: number): VoiWindow {
  const step = start.width / TRAVEL;
  const least = start.function === "LINEAR" ? 1 : start.width / 1000;
  const fine = start.width < 20;
  const round = (value: number): number => (fine ? value : Math.round(value));
  const width = Math.max(least, round(start.width + dx * step));
  return { kind: "window", center: round(start.center + dy * step), width, function: start.function, name: "" };
}

export const windowTool: Tool = {
  name: "window",
  cursor: "crosshair",
  start(viewport, at) {
    const slice = viewport.slice;
    if (!slice || slice.instance.samples_per_pixel > 1) return null;
    const before = viewport.choice;
    const voi = viewport.voi;
    // A table has no width to change: the drag starts from the whole range.
    const from = voi?.kind === "window" ? voi : autoVoi(slice.instance);
    const ratio = viewport.pixelRatio;
    viewport.setHurried(true);
    return {
      move: ([x, y]) => viewport.setWindow(dragged(from, (x - at[0]) / ratio, (y - at[1]) / ratio)),
      end: () => viewport.setHurried(false),
      cancel: () => {
        viewport.choose(before);
        viewport.setHurried(false);
      },
    };
  },
};
