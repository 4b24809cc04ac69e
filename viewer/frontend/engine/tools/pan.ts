/** Drag the picture. */
import type { Tool } from "./tool.ts";

export const panTool: Tool = {
  name: "pan",
  cursor: "grab",
  start(viewport, at) {
    const before = viewport.view;
    viewport.setHurried(true);
    return {
      move: ([x, y]) => viewport.setView({ ...before, pan: [before.pan[0] + x - at[0], before.pan[1] + y - at[1]] }),
      end: () => viewport.setHurried(false),
      cancel: () => {
        viewport.setView(before);
        viewport.setHurried(false);
      },
    };
  },
};
