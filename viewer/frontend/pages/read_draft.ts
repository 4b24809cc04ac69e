/** The report being written: what was typed, what the server has, and when it is saved. */
import { ApiError, server } from "../server.ts";
import type { Report } from "./detail.ts";

export type SaveState = "clean" | "unsaved" | "saving" | "failed" | "refused";

export interface DraftText {
  template: string;
  sections: Record<string, string>;
}

/** Saved when the hand rests, and while it does not rest never later than five seconds after a change. */
const REST_MS = 1200;
const LONGEST_MS = 4000;
const AGAIN_MS = 5000;
/** A saving without an answer is tried once more before anybody is told. */
const SECOND_TRY_MS = 800;
/** What says that the server was not there or had no time: the same may do a moment later. */
const BUSY = [0, 502, 503, 504];

export class Draft {
  state: SaveState = "clean";
  savedAt: string | null = null;
  /** What stopped the last saving. */
  error: unknown = null;
  onChange: () => void = () => undefined;
  /** The report was saved elsewhere since: resolves when it is clear which text holds. */
  onStale: () => Promise<void> = () => Promise.resolve();
  onSaved: (report: Report) => void = () => undefined;
  #text: DraftText;
  #sent = "";
  /** Went out and was not answered: whether the server has it is not known, so it goes out again before a later text. */
  #unanswered: DraftText | null = null;
  #firstUnsavedAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #saving: Promise<boolean> | null = null;

  constructor(readonly workitemUid: string, public version: number, text: DraftText, savedAt: string | null) {
    this.#text = text;
    this.#sent = JSON.stringify(text);
    this.savedAt = savedAt;
  }

  get text(): DraftText {
    return this.#text;
  }

  get isDirty(): boolean {
    return this.#unanswered !== null || JSON.stringify(this.#text) !== this.#sent;
  }

  change(text: DraftText): void {
    this.#text = text;
    clearTimeout(this.#timer);
    if (!this.isDirty) return this.#settle();
    const now = Date.now();
    this.#firstUnsavedAt ||= now;
    if (this.state !== "saving") this.#setState("unsaved");
    if (!text.template) return; // the templates are on their way, and nothing is saved without one
    this.#timer = setTimeout(() => void this.#saveOnce(), Math.max(0, Math.min(REST_MS, this.#firstUnsavedAt + LONGEST_MS - now)));
  }

  /** The server's text takes the place of what is here. */
  take(report: Report): void {
    clearTimeout(this.#timer);
    this.version = report.version;
    this.#text = { template: report.template, sections: { ...report.sections } };
    this.#sent = JSON.stringify(this.#text);
    this.#unanswered = null;
    this.savedAt = report.updated_at;
    this.#settle("clean");
  }

  /** True when the server has everything, also what was typed while a saving was under way. */
  async save(): Promise<boolean> {
    let isWell = true;
    do isWell = await this.#saveOnce();
    while (isWell && this.isDirty);
    return isWell;
  }

  /** A text that was never saved is made a draft too: only a draft can be signed. */
  async saveFirst(): Promise<boolean> {
    if (this.version === 0) this.#sent = "";
    return this.save();
  }

  /** False when what is typed could not be brought to the server. Only one saving is under way at a time. */
  #saveOnce(): Promise<boolean> {
    clearTimeout(this.#timer);
    if (!this.#saving && !this.isDirty) return Promise.resolve(true);
    this.#saving ??= this.#put().finally(() => (this.#saving = null));
    return this.#saving;
  }

  async #put(): Promise<boolean> {
    const sending = (this.#unanswered ??= this.#text);
    this.#setState("saving");
    try {
      const report = await this.#send({ ...sending, version: this.version });
      this.#unanswered = null;
      this.version = report.version;
      this.#sent = JSON.stringify(sending);
      this.savedAt = report.updated_at;
      this.#settle("clean");
      this.onSaved(report);
    } catch (error) {
      return this.#failed(error);
    }
    if (this.isDirty) this.change(this.#text);
    return true;
  }

  /** The server knows the same saving again, also where it was its answer that was lost. */
  async #send(body: DraftText & { version: number }): Promise<Report> {
    const path = `/api/workitems/${this.workitemUid}/report`;
    try {
      return await server.put<Report>(path, body);
    } catch (error) {
      if (!isBusy(error)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, SECOND_TRY_MS));
    return server.put<Report>(path, body);
  }

  async #failed(error: unknown): Promise<boolean> {
    if (!isBusy(error)) this.#unanswered = null; // it was answered: not saved
    if (error instanceof ApiError && error.code === "stale_version") {
      this.error = error;
      this.#setState("refused");
      try {
        await this.onStale();
        return true;
      } catch (why) {
        error = why; // the other text could not be shown: nothing is settled
      }
    }
    this.error = error;
    const isAnswer = error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429;
    this.#setState(isAnswer ? "refused" : "failed");
    // Silence is asked again; an answer would only be the same.
    if (!isAnswer) this.#timer = setTimeout(() => void this.#saveOnce(), AGAIN_MS);
    return false;
  }

  /** Nothing is left to save, as far as is known; a saving under way says so itself. */
  #settle(state: SaveState = this.#saving ? this.state : "clean"): void {
    this.#firstUnsavedAt = 0;
    this.error = null;
    this.#setState(state);
  }

  #setState(state: SaveState): void {
    this.state = state;
    this.onChange();
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof ApiError && BUSY.includes(error.status);
}
