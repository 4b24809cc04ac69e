/** Everything a page needs of the engine: one store with its decode workers, and viewports on it. */
import { server } from "../server.ts";
import { DecodePool } from "./decode/pool.ts";
import { FrameStore } from "./frames.ts";

export { bindImageKeys, isTextField, perform, pressesButton } from "./keys.ts";
export { EcgSheet } from "./ecg_sheet.ts";
export { FrameStore } from "./frames.ts";
export { Viewport, type ViewportEvents, type ViewportOptions } from "./viewport.ts";
export type { Labels } from "./corners.ts";
export type { DisplayStudy, Instance, Series } from "./display.ts";
export { Marks } from "./mark_layer.ts";
export type { Measurement } from "./marks.ts";
export type { Preset } from "./presets.ts";
export type { ToolName } from "./tools/tool.ts";

export interface Engine {
  store: FrameStore;
  close(): void;
}

/** Starts the workers at once, so that the codec is ready when the first bytes arrive. */
export function startEngine(cap?: number): Engine {
  const pool = new DecodePool(() => server.buffer(new URL(DECODE_WASM_FILE, import.meta.url).pathname));
  const store = new FrameStore(server.bytes, pool.decode, cap);
  return {
    store,
    close() {
      store.close();
      pool.close();
    },
  };
}
