/** Studies out of workitems: a site sees examinations, of which each may have several pieces of work. */
import { SIGNED, type WorklistItem } from "../ui/item.ts";
import type { LiveMessage } from "../ui/live.ts";

/** The one item that says how far the study is: open work goes before ended work, addenda before nothing. */
export function leading(items: readonly WorklistItem[]): WorklistItem | null {
  return [...items].filter((item) => item.status !== "cancelled").sort(byProgress)[0] ?? null;
}

function byProgress(a: WorklistItem, b: WorklistItem): number {
  return weight(a) - weight(b) || (b.ended_at ?? "").localeCompare(a.ended_at ?? "");
}

function weight(item: WorklistItem): number {
  if (item.step === "addendum") return 2;
  return item.ended_at === null ? 0 : 1;
}

export function isSigned(item: WorklistItem): boolean {
  return SIGNED.includes(item.status);
}

/** A preliminary report is out while the work goes on. */
export function isPreliminary(item: WorklistItem): boolean {
  return item.report_status === "preliminary" && !isSigned(item);
}

export class Studies {
  readonly #items = new Map<string, WorklistItem[]>();

  setAll(items: readonly WorklistItem[]): void {
    this.#items.clear();
    for (const item of items) {
      const known = this.#items.get(item.study_instance_uid);
      if (known) known.push(item);
      else this.#items.set(item.study_instance_uid, [item]);
    }
  }

  /** Takes what an event says of its study; false when it says nothing. */
  take(message: LiveMessage): boolean {
    const uid = message["study_instance_uid"];
    const items = message["items"];
    if (typeof uid !== "string" || !Array.isArray(items)) return false;
    if (items.length > 0) this.#items.set(uid, items as WorklistItem[]);
    return items.length > 0;
  }

  has(uid: string): boolean {
    return this.#items.has(uid);
  }

  of(uid: string): readonly WorklistItem[] {
    return this.#items.get(uid) ?? [];
  }

  /** One item a study, the latest arrival first. */
  list(): WorklistItem[] {
    const found = [...this.#items.values()].flatMap((items) => leading(items) ?? []);
    return found.sort((a, b) => b.received_at.localeCompare(a.received_at) || a.study_instance_uid.localeCompare(b.study_instance_uid));
  }
}
