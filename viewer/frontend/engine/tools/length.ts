/** A line from press to release, measured in mm where the image has a right to them, else in px. */
import type { Point } from "../geometry.ts";
import type { Tool } from "./tool.ts";

/** A shorter line is a slip of the hand, not a measurement (CSS pixels). */
const LEAST = 3;

export const lengthTool: Tool = {
  name: "length",
  cursor: "crosshair",
  start(viewport, at) {
    const { slice, marks } = viewport;
    const from = viewport.toImage(at);
    if (!slice || !from || !viewport.contains(from)) return null;
    let drawn: string | null = null;
    const drop = (): void => {
      if (drawn) marks.remove(drawn);
      drawn = null;
    };
    const draw = (to: Point): void => {
      const point = viewport.toImage(to);
      if (!point) return;
      if (drawn) marks.move(slice, drawn, [from, point]);
      else drawn = marks.addLength(slice, [from, point]);
    };
    return {
      move: draw,
      end: (to) => {
        if (Math.hypot(to[0] - at[0], to[1] - at[1]) < LEAST * viewport.pixelRatio) drop();
        else draw(to);
      },
      cancel: drop,
    };
  },
};
