/** Drag up to enlarge, down to shrink, around the point pressed. */
import type { Tool } from "./tool.ts";

export const zoomTool: Tool = {
  name: "zoom",
  cursor: "zoom-in",
  start(viewport, at) {
    const before = viewport.view;
    viewport.setHurried(true);
    return {
      move: ([, y]) => viewport.zoomAt(at, before.zoom * 2 ** ((at[1] - y) / (150 * viewport.pixelRatio))),
      end: () => viewport.setHurried(false),
      cancel: () => {
        viewport.setView(before);
        viewport.setHurried(false);
      },
    };
  },
};
