/** The lanes and their rows: kept by workitem, so that an event redraws one row and moves nothing else. */
import { t } from "../i18n.ts";
import { byId } from "../ui/h.ts";
import { LANES, type Lane, type Me, type WorklistItem } from "../ui/item.ts";
import { laneHead, row } from "../ui/row.ts";
import { byUrgency, mayTake } from "./worklist_order.ts";

interface Kept {
  text: string;
  element: HTMLElement;
}

export class Rows {
  readonly #list = byId("list");
  readonly #scroller = byId("rows");
  readonly #kept = new Map<string, Kept>();
  #order: string[] = [];

  /** `choose(uid, true)` opens what was pressed twice. */
  constructor(private readonly person: Me, choose: (uid: string, isChosen: boolean) => void) {
    const uidAt = (event: Event): string => (event.target as Element).closest<HTMLElement>(".row.item")?.dataset["uid"] ?? "";
    this.#list.addEventListener("click", (event) => uidAt(event) && choose(uidAt(event), false));
    this.#list.addEventListener("dblclick", (event) => uidAt(event) && choose(uidAt(event), true));
  }

  draw(items: WorklistItem[], selected: string, arrivedStudy = ""): void {
    const held = this.#hold(selected);
    const sorted = [...items].sort(byUrgency);
    this.#order = sorted.map((item) => item.workitem_uid);
    const children: HTMLElement[] = [];
    for (const lane of LANES) children.push(...this.#lane(lane, sorted.filter((item) => item.lane === lane)));
    const known = new Set(this.#order);
    for (const uid of this.#kept.keys()) if (!known.has(uid)) this.#kept.delete(uid);
    this.#replace(children);
    this.#mark(selected);
    if (arrivedStudy) this.#flash(items, arrivedStudy);
    held();
  }

  #lane(lane: Lane, items: WorklistItem[]): HTMLElement[] {
    return items.length ? [laneHead(lane, items.length), ...items.map((item) => this.#row(item))] : [];
  }

  #row(item: WorklistItem): HTMLElement {
    const text = JSON.stringify(item);
    const before = this.#kept.get(item.workitem_uid);
    if (before?.text === text) return before.element;
    const element = row(item, this.person);
    if (!mayTake(item, this.person) && !item.ended_at) element.classList.add("held");
    this.#kept.set(item.workitem_uid, { text, element });
    return element;
  }

  /** Only what differs is touched: a row that stays keeps its place in the document, and its animation. */
  #replace(children: HTMLElement[]): void {
    const wanted = new Set(children);
    for (const child of [...this.#list.children]) if (!wanted.has(child as HTMLElement)) child.remove();
    children.forEach((child, index) => {
      if (this.#list.children[index] !== child) this.#list.insertBefore(child, this.#list.children[index] ?? null);
    });
  }

  /** Rows that come in above never move the selected one under the eye. */
  #hold(selected: string): () => void {
    const before = this.#kept.get(selected)?.element;
    const top = before?.isConnected ? before.getBoundingClientRect().top : null;
    return () => {
      const after = this.#kept.get(selected)?.element;
      if (top === null || !after?.isConnected) return;
      this.#scroller.scrollTop += after.getBoundingClientRect().top - top;
    };
  }

  #flash(items: WorklistItem[], study: string): void {
    for (const item of items) {
      const element = item.study_instance_uid === study ? this.#kept.get(item.workitem_uid)?.element : null;
      if (item.lane === "critical") element?.classList.add("arrived-now");
    }
  }

  select(uid: string, isByKey: boolean): void {
    this.#mark(uid);
    const element = this.#kept.get(uid)?.element;
    if (!isByKey || !element) return;
    // Enter is now for the row, not for the button that was pressed last.
    this.#scroller.focus({ preventScroll: true });
    keepInView(this.#scroller, element);
  }

  #mark(uid: string): void {
    for (const marked of this.#list.querySelectorAll('[aria-selected="true"]')) marked.setAttribute("aria-selected", "false");
    const element = this.#kept.get(uid)?.element;
    element?.setAttribute("aria-selected", "true");
    if (element) this.#scroller.setAttribute("aria-activedescendant", element.id);
    else this.#scroller.removeAttribute("aria-activedescendant");
  }

  neighbour(uid: string, step: number): string {
    const at = this.#order.indexOf(uid);
    if (at < 0) return this.#order[step > 0 ? 0 : this.#order.length - 1] ?? "";
    return this.#order[Math.min(this.#order.length - 1, Math.max(0, at + step))] ?? "";
  }
}

/** Column head and lane head are sticky: a row under them is not in view. */
const HEAD_PX = 26 + 32;

function keepInView(scroller: HTMLElement, element: HTMLElement): void {
  const box = element.getBoundingClientRect();
  const view = scroller.getBoundingClientRect();
  if (box.top < view.top + HEAD_PX) scroller.scrollTop -= view.top + HEAD_PX - box.top;
  else if (box.bottom > view.bottom) scroller.scrollTop += box.bottom - view.bottom;
}

export function rowsLabel(n: number, of: number): string {
  return t("ui.worklist.shown", { n: of, shown: n });
}
