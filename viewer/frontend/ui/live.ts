/**
 * What happens elsewhere, as it happens: one stream per browser, however many tabs are open.
 *
 * The tab that holds the lock reads GET /api/events and tells the others over a BroadcastChannel. The
 * server gives a sign of life every 15 s, so 20 s without a byte means the list may be out of date.
 * Nothing is lost over a cut: the next stream starts after the last id that any tab has seen.
 */
import { t } from "../i18n.ts";
import { ApiError, type Server } from "../server.ts";
import { fill } from "./h.ts";
import type { WorklistItem } from "./item.ts";
import { EventParser } from "./sse.ts";

/** `resync` asks to load every list anew; `hello` starts a stream. */
export interface LiveMessage {
  event_id: number;
  kind: string;
  item?: WorklistItem | null;
  [more: string]: unknown;
}

export type LiveState = "connecting" | "live" | "stale";

type Told =
  | { type: "message"; message: LiveMessage }
  | { type: "alive"; lastId: string }
  | { type: "expired" };

const LOCK = "teleread-events";
export const STALE_MS = 20_000;
/** No byte for this long: the line is dead although nobody said so. */
const SILENT_MS = 25_000;
const RETRY_MS = [1000, 2000, 5000, 10_000] as const;

export class Live {
  state: LiveState = "connecting";
  #aliveAt = Date.now();
  #lastId = "";
  #failures = 0;
  readonly #channel = new BroadcastChannel(LOCK);
  readonly #listeners = new Set<(message: LiveMessage) => void>();
  readonly #stateListeners = new Set<(state: LiveState, silentMs: number) => void>();
  readonly #stopped = new AbortController();

  constructor(readonly server: Server) {}

  /** Called for every event of the stream, in every tab. Gives back how to stop that. */
  subscribe(listener: (message: LiveMessage) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Called when the state changes, and every second while it is stale. */
  onState(listener: (state: LiveState, silentMs: number) => void): void {
    this.#stateListeners.add(listener);
    listener(this.state, 0);
  }

  start(): void {
    this.#channel.addEventListener("message", (event: MessageEvent<Told>) => this.#hear(event.data));
    const timer = setInterval(() => this.#look(), 1000);
    this.#stopped.signal.addEventListener("abort", () => clearInterval(timer));
    addEventListener("pagehide", () => this.stop());
    addEventListener("pageshow", (event) => event.persisted && location.reload());
    // Without TLS a browser has no locks: each tab then reads a stream of its own.
    const locks = navigator.locks as LockManager | undefined;
    const leading = locks ? locks.request(LOCK, { signal: this.#stopped.signal }, () => this.#lead()) : this.#lead();
    leading.catch((error: unknown) => {
      if (!this.#stopped.signal.aborted) throw error;
    });
  }

  stop(): void {
    this.#stopped.abort();
    this.#channel.close();
  }

  /** Holds the stream until the page goes away, reconnecting as often as it breaks. */
  async #lead(): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      try {
        await this.#readOnce();
      } catch (error) {
        if (error instanceof ApiError && error.status === 401) return;
      }
      if (this.#stopped.signal.aborted) return;
      const pause = RETRY_MS[Math.min(this.#failures, RETRY_MS.length - 1)] ?? 10_000;
      this.#failures += 1;
      await new Promise((resolve) => setTimeout(resolve, pause * (0.8 + Math.random() * 0.4)));
    }
  }

  async #readOnce(): Promise<void> {
    const cut = new AbortController();
    const parser = new EventParser();
    parser.lastId = this.#lastId;
    const stop = (): void => cut.abort();
    this.#stopped.signal.addEventListener("abort", stop, { once: true });
    let heardAt = Date.now();
    const watch = setInterval(() => Date.now() - heardAt > SILENT_MS && cut.abort(), 1000);
    const path = this.#lastId ? `/api/events?last_event_id=${encodeURIComponent(this.#lastId)}` : "/api/events";
    try {
      await this.server.bytes(path, {
        signal: cut.signal,
        onChunk: (chunk) => {
          heardAt = Date.now();
          this.#failures = 0;
          for (const event of parser.push(chunk)) this.#receive(event.kind, event.id, event.data);
          this.#lastId = parser.lastId;
          this.#tell({ type: "alive", lastId: this.#lastId });
        },
      });
    } finally {
      clearInterval(watch);
      this.#stopped.signal.removeEventListener("abort", stop);
    }
  }

  #receive(kind: string, id: string, data: string): void {
    if (kind === "session_expired") return this.#tell({ type: "expired" });
    const body = JSON.parse(data) as Partial<LiveMessage>;
    this.#tell({ type: "message", message: { ...body, kind, event_id: body.event_id ?? (Number(id) || 0) } });
  }

  #tell(told: Told): void {
    if (!this.#stopped.signal.aborted) this.#channel.postMessage(told);
    this.#hear(told);
  }

  #hear(told: Told): void {
    this.#aliveAt = Date.now();
    this.#setState("live");
    if (told.type === "alive") this.#lastId = told.lastId;
    else if (told.type === "message") for (const listener of this.#listeners) listener(told.message);
    else if (document.visibilityState === "visible") void this.#askWhoIsHere();
  }

  /** A plain request meets the expired session and brings up the overlay of `relogin.ts`. */
  async #askWhoIsHere(): Promise<void> {
    await this.server.get("/api/session").catch(() => undefined);
  }

  #look(): void {
    const silentMs = Date.now() - this.#aliveAt;
    if (silentMs < STALE_MS) return;
    this.state = "stale";
    for (const listener of this.#stateListeners) listener("stale", silentMs);
  }

  #setState(state: LiveState): void {
    if (this.state === state) return;
    this.state = state;
    for (const listener of this.#stateListeners) listener(state, 0);
  }
}

/** Shows the stream's state in the page's own places: `#stream-state`, `#stale-banner`. */
export function showLiveState(live: Live, refresh: () => void): void {
  const banner = document.getElementById("stale-banner");
  const words = document.getElementById("stale-words");
  const place = document.getElementById("stream-state");
  document.getElementById("stale-refresh")?.addEventListener("click", refresh);
  live.onState((state, silentMs) => {
    if (banner) banner.hidden = state !== "stale";
    if (words && state === "stale") fill(words, t("ui.stale.words", { n: Math.floor(silentMs / 1000) }));
    if (!place) return;
    place.classList.toggle("on", state === "live");
    place.classList.toggle("stale", state === "stale");
    const label = place.querySelector("span");
    if (label) fill(label, t(`ui.stream.${state}`));
  });
}
