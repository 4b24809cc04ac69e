/** Drag through the series; a long series needs less travel per slice. */
import type { Tool } from "./tool.ts";

export const stackTool: Tool = {
  name: "stack",
  cursor: "ns-resize",
  start(viewport, at) {
    const before = viewport.index;
    const travel = Math.max(2, Math.min(12, viewport.canvas.height / (2 * viewport.pixelRatio) / Math.max(1, viewport.count)));
    return {
      move: ([, y]) => viewport.setIndex(before + Math.round((y - at[1]) / (travel * viewport.pixelRatio))),
      end: () => undefined,
      cancel: () => viewport.setIndex(before),
    };
  },
};
