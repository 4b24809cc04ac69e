/** One frame on its way from the server to the screen: bytes kept as a prefix, decoded level by level. */
import type { FrameRef } from "./display.ts";
import type { Raster } from "./lut.ts";

export type Quality = "loading" | "partial" | "lossless" | "failed";

/** A low resolution good enough to scroll by, and small enough to have of the whole series first. */
const SCROLL_PIXELS = 256;

export class Slot {
  raster: Raster | null = null;
  /** Index of the decoded level in `frame.levels`; −1 before the first. */
  level = -1;
  /** How many bytes of the prefix are here. */
  have = 0;
  error: string | null = null;
  loading: AbortController | null = null;
  decoding = false;
  /** Bytes that what is under way will need. */
  claim = 0;
  /** 0 for what is on screen, growing with the distance; set by the store. */
  rank = Infinity;
  #bytes = new Uint8Array(0);

  constructor(readonly frame: FrameRef) {}

  get quality(): Quality {
    if (this.error) return "failed";
    if (!this.raster) return "loading";
    return this.level === this.frame.levels.length - 1 ? "lossless" : "partial";
  }

  get isDone(): boolean {
    return this.error !== null || this.quality === "lossless";
  }

  /** Bytes in memory, decoded and not yet decoded. */
  get weight(): number {
    return (this.raster?.samples.byteLength ?? 0) + this.#bytes.byteLength;
  }

  get claimed(): number {
    return Math.max(this.weight, this.claim);
  }

  get scrollLevel(): number {
    const fitting = this.frame.levels.filter((level) => Math.max(level.width, level.height) <= SCROLL_PIXELS);
    return Math.max(0, fitting.length - 1);
  }

  /** Length of the prefix that holds a level; the last level is the whole stream. */
  bytesOf(level: number): number {
    const last = level >= this.frame.levels.length - 1;
    return last ? this.frame.bytes : (this.frame.levels[level]?.bytes_end ?? this.frame.bytes);
  }

  /** Throws `frame_length` for bytes that do not continue the prefix or run past the announced end. */
  append(chunk: Uint8Array, offset: number): void {
    const end = offset + chunk.length;
    if (offset > this.have || end > this.frame.bytes) throw new Error("frame_length");
    if (end <= this.have) return;
    if (end > this.#bytes.length) this.#grow(end);
    this.#bytes.set(chunk, offset);
    this.have = end;
  }

  #grow(needed: number): void {
    const wanted = this.frame.levels.map((level) => level.bytes_end).find((end) => end >= needed) ?? this.frame.bytes;
    const grown = new Uint8Array(Math.min(this.frame.bytes, Math.max(needed, wanted)));
    grown.set(this.#bytes.subarray(0, this.have));
    this.#bytes = grown;
  }

  /** The highest level whose bytes are all here, −1 for none. */
  get completeLevel(): number {
    let level = this.frame.levels.length - 1;
    while (level >= 0 && this.bytesOf(level) > this.have) level--;
    return level;
  }

  prefix(level: number): Uint8Array {
    return this.#bytes.slice(0, this.bytesOf(level));
  }

  take(raster: Raster, level: number): void {
    if (level <= this.level) return;
    this.raster = raster;
    this.level = level;
    if (!this.loading) this.claim = 0;
    if (this.quality === "lossless") this.#bytes = new Uint8Array(0);
  }

  fail(code: string): void {
    this.error = code;
    this.#forget();
  }

  /** Back to nothing: what is evicted can be loaded again, a failed frame tried again. */
  reset(): void {
    this.error = null;
    this.#forget();
  }

  #forget(): void {
    this.loading?.abort();
    this.loading = null;
    this.raster = null;
    this.level = -1;
    this.have = 0;
    this.claim = 0;
    this.#bytes = new Uint8Array(0);
  }
}
