/** What a tool is: it turns a press on the picture into a gesture. Points are device pixels of the canvas. */
import type { Point } from "../geometry.ts";
import type { Viewport } from "../viewport.ts";

export type ToolName = "window" | "zoom" | "pan" | "stack" | "length";

export interface Gesture {
  move(at: Point): void;
  end(at: Point): void;
  /** Escape, a lost pointer, another series: as if it had not begun. */
  cancel(): void;
}

export interface Tool {
  name: ToolName;
  cursor: string;
  start(viewport: Viewport, at: Point): Gesture | null;
}
