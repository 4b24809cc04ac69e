/**
 * The frames of the open studies: which are loaded next, how far, and which are let go.
 *
 * Order: what is on screen, whole; then the scroll resolution of its neighbours outward; then lossless outward.
 */
import { ApiError, type FetchBytes } from "../server.ts";
import { cacheCap, outward } from "./cache.ts";
import type { Decode } from "./decode/pool.ts";
import type { FrameRef } from "./display.ts";
import { Slot } from "./slot.ts";

/** What a viewport wants: its frames in order and the one on screen. A lower `priority` is served first. */
export interface Demand {
  frames: (FrameRef | null)[];
  current: number;
  priority: number;
}

interface Task {
  slot: Slot;
  level: number;
}

const BACKGROUND_FETCHES = 3;
const ALL_FETCHES = 5;
/** Below this a background fetch in flight is let finish: a new connection costs more than the rest of it. */
const WORTH_STOPPING_BYTES = 512 * 1024;
export const RECONNECT_MS = 8000;

/** Bytes of a task when it is done: the decoded picture, and the prefix beside it while it is not the whole. */
function needed({ slot, level }: Task): number {
  const { width, height } = slot.frame.levels[level] ?? { width: 0, height: 0 };
  return width * height * 2 + slot.bytesOf(level);
}

export class FrameStore {
  readonly cap: number;
  readonly #slots = new Map<string, Slot>();
  readonly #demands = new Set<Demand>();
  readonly #listeners = new Set<(url: string) => void>();
  #fetches = 0;
  #reconnect: ReturnType<typeof setTimeout> | null = null;
  #closed = false;

  constructor(
    private readonly fetchBytes: FetchBytes,
    private readonly decode: Decode,
    cap?: number,
  ) {
    this.cap = cap ?? cacheCap((globalThis.navigator as { deviceMemory?: number } | undefined)?.deviceMemory);
  }

  /** Calls `listener` with the URL of each frame that changed; gives back how to stop that. */
  listen(listener: (url: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  slot(frame: FrameRef): Slot {
    let slot = this.#slots.get(frame.url);
    if (!slot) this.#slots.set(frame.url, (slot = new Slot(frame)));
    return slot;
  }

  /** Adds a demand or tells that its `current` moved. */
  want(demand: Demand): void {
    this.#demands.add(demand);
    this.#rank();
    this.#stopLesser();
    this.#pump();
  }

  /** Frames nobody wants any more leave the memory. */
  release(demand: Demand): void {
    this.#demands.delete(demand);
    this.#rank();
    for (const [url, slot] of this.#slots) {
      if (slot.rank !== Infinity) continue;
      slot.reset();
      this.#slots.delete(url);
    }
    this.#pump();
  }

  retry(frame: FrameRef): void {
    if (this.#reconnect) this.#online();
    this.slot(frame).reset();
    this.#tell(frame.url);
    this.#pump();
  }

  close(): void {
    this.#closed = true;
    if (this.#reconnect) clearTimeout(this.#reconnect);
    for (const slot of this.#slots.values()) slot.reset();
    this.#slots.clear();
    this.#demands.clear();
  }

  /** For the status bar: bytes held, how many frames are lossless, and of how many. */
  usage(): { bytes: number; cap: number; lossless: number; frames: number } {
    let lossless = 0;
    for (const slot of this.#slots.values()) if (slot.quality === "lossless") lossless++;
    return { bytes: this.#weight(), cap: this.cap, lossless, frames: this.#slots.size };
  }

  #weight(): number {
    let bytes = 0;
    for (const slot of this.#slots.values()) bytes += slot.weight;
    return bytes;
  }

  #rank(): void {
    for (const slot of this.#slots.values()) slot.rank = Infinity;
    for (const demand of this.#demands) {
      demand.frames.forEach((frame, index) => {
        if (!frame) return;
        const slot = this.slot(frame);
        const distance = Math.abs(index - demand.current);
        slot.rank = Math.min(slot.rank, distance === 0 ? 0 : distance + demand.priority * 10_000);
      });
    }
  }

  /** A big frame in the background gives way to what has come on screen; its prefix is kept. */
  #stopLesser(): void {
    const waiting = [...this.#slots.values()].some((slot) => slot.rank === 0 && !slot.isDone && !slot.loading);
    if (!waiting) return;
    for (const slot of this.#slots.values()) {
      if (slot.rank > 0 && slot.loading && slot.frame.bytes - slot.have > WORTH_STOPPING_BYTES) slot.loading.abort();
    }
  }

  #pump(): void {
    while (!this.#closed && !this.#reconnect && this.#fetches < ALL_FETCHES) {
      const task = this.#next();
      if (!task) return;
      void this.#load(task);
    }
  }

  #next(): Task | null {
    const demands = [...this.#demands].sort((a, b) => a.priority - b.priority);
    for (const demand of demands) {
      const shown = this.#taskAt(demand, demand.current, (slot) => slot.frame.levels.length - 1);
      if (!shown) continue;
      this.#makeRoom(shown);
      return shown;
    }
    if (this.#fetches >= BACKGROUND_FETCHES) return null;
    return (
      this.#outward(demands, (slot) => slot.scrollLevel) ?? this.#outward(demands, (slot) => slot.frame.levels.length - 1)
    );
  }

  #outward(demands: Demand[], levelOf: (slot: Slot) => number): Task | null {
    for (const demand of demands) {
      for (const index of outward(demand.current, demand.frames.length)) {
        const task = this.#taskAt(demand, index, levelOf);
        if (task) return this.#makeRoom(task) ? task : null;
      }
    }
    return null;
  }

  #taskAt(demand: Demand, index: number, levelOf: (slot: Slot) => number): Task | null {
    const frame = demand.frames[index];
    if (!frame) return null;
    const slot = this.slot(frame);
    const level = levelOf(slot);
    if (slot.isDone || slot.loading || slot.have >= slot.bytesOf(level)) return null;
    return { slot, level };
  }

  /** Lets go of what lies farther away than the task; false, and nothing let go of, where that would not do. */
  #makeRoom(task: Task): boolean {
    const held = [...this.#slots.values()].reduce((sum, slot) => sum + (slot === task.slot ? 0 : slot.claimed), 0);
    let excess = held + needed(task) - this.cap;
    if (excess <= 0) return true;
    const farther = [...this.#slots.values()].filter((slot) => slot.rank > task.slot.rank && slot.claimed > 0);
    // Otherwise what is let go of in vain is loaded again, and let go of again, without end.
    const enough = farther.reduce((sum, slot) => sum + slot.claimed, 0) >= excess;
    if (!enough) return false;
    for (const slot of farther.sort((a, b) => b.rank - a.rank)) {
      excess -= slot.claimed;
      slot.reset();
      this.#tell(slot.frame.url);
      if (excess <= 0) return true;
    }
    return false;
  }

  async #load({ slot, level }: Task): Promise<void> {
    const controller = new AbortController();
    slot.loading = controller;
    slot.claim = needed({ slot, level });
    this.#fetches++;
    const whole = slot.bytesOf(level) >= slot.frame.bytes;
    this.#decodeNext(slot, level);
    try {
      await this.fetchBytes(slot.frame.url, {
        start: slot.have,
        end: whole ? undefined : slot.bytesOf(level),
        signal: controller.signal,
        onChunk: (chunk, offset) => {
          if (controller.signal.aborted) return;
          slot.append(chunk, offset);
          this.#decodeNext(slot, level);
        },
      });
      if (!controller.signal.aborted && slot.have < slot.bytesOf(level)) throw new Error("frame_incomplete");
    } catch (error) {
      if (!controller.signal.aborted) this.#fail(slot, error);
    } finally {
      this.#fetches--;
      if (slot.loading === controller) slot.loading = null;
      if (!slot.decoding) slot.claim = 0;
      this.#pump();
    }
  }

  /** Decodes the best level that is complete; in the background only the level the task is for. */
  #decodeNext(slot: Slot, wanted: number): void {
    const level = slot.completeLevel;
    if (slot.decoding || level <= slot.level || (slot.rank > 0 && level < wanted)) return;
    slot.decoding = true;
    const origin = slot.have;
    this.decode(slot.prefix(level), slot.frame.levels.length - 1 - level, slot.rank === 0)
      .then(
        (raster) => {
          // Evicted or asked for again meanwhile: this picture is of bytes that are gone.
          if (slot.have >= origin) slot.take(raster, level);
        },
        (error: unknown) => this.#fail(slot, error),
      )
      .finally(() => {
        slot.decoding = false;
        this.#tell(slot.frame.url);
        if (!slot.error) this.#decodeNext(slot, wanted);
      });
  }

  #fail(slot: Slot, error: unknown): void {
    const code = error instanceof ApiError ? error.code : error instanceof Error && error.message.startsWith("frame_") ? error.message : "network";
    slot.fail(code);
    this.#tell(slot.frame.url);
    if (code === "network") this.#reconnect ??= setTimeout(() => this.#online(), RECONNECT_MS);
  }

  /** The server is asked again for everything it did not answer. */
  #online(): void {
    if (this.#reconnect) clearTimeout(this.#reconnect);
    this.#reconnect = null;
    for (const slot of this.#slots.values()) {
      if (slot.error !== "network") continue;
      slot.reset();
      this.#tell(slot.frame.url);
    }
    this.#pump();
  }

  #tell(url: string): void {
    for (const listener of this.#listeners) listener(url);
  }
}
