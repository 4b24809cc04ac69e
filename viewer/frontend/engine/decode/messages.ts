/** What the page and the decode worker say to each other. */
import type { Raster } from "../lut.ts";

export type DecodeRequest =
  | { kind: "start"; module: WebAssembly.Module }
  | { kind: "decode"; id: number; bytes: Uint8Array; reduction: number };

export type DecodeReply = ({ id: number; ok: true } & Raster) | { id: number; ok: false; code: string };
