/** The tools by name. */
import { lengthTool } from "./length.ts";
import { panTool } from "./pan.ts";
import { stackTool } from "./stack.ts";
import type { Tool, ToolName } from "./tool.ts";
import { windowTool } from "./window.ts";
import { zoomTool } from "./zoom.ts";

export const tools: Readonly<Record<ToolName, Tool>> = {
  window: windowTool,
  zoom: zoomTool,
  pan: panTool,
  stack: stackTool,
  length: lengthTool,
};
