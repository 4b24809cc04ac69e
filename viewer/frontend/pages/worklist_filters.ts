/** The rail and the filter line: what is shown, and how many of each there are. */
import { t } from "../i18n.ts";
import { serverNow } from "../ui/clock.ts";
import { modality, siteName } from "../ui/format.ts";
import { byId, fill, h } from "../ui/h.ts";
import type { Me, WorklistItem } from "../ui/item.ts";
import { belongsToMine, type Filters, isOpen, isUnmatched, type Mine, NO_FILTERS, passes } from "./worklist_order.ts";
import { rowsLabel } from "./worklist_rows.ts";

export interface FilterBar {
  filters: Filters;
  readonly isNarrowed: boolean;
  shown: (items: WorklistItem[]) => WorklistItem[];
  count: (items: WorklistItem[], nShown: number) => void;
  setLane: (lane: string) => void;
  setOpenOnly: (isOpenOnly: boolean) => void;
  clear: () => void;
}

const SEARCH_AFTER_MS = 180;

export function connectFilters(person: Me, changed: () => void, search: (query: string) => void): FilterBar {
  const filters: Filters = { ...NO_FILTERS };
  const input = byId<HTMLInputElement>("search");
  const change = (more: Partial<Filters>): void => {
    Object.assign(filters, more);
    show(filters);
    changed();
  };
  const clear = (): void => {
    input.value = "";
    for (const id of ["filter-site", "filter-modality"]) byId<HTMLSelectElement>(id).value = "";
    Object.assign(filters, NO_FILTERS);
    show(filters);
    search("");
  };
  connectRail(filters, change);
  connectLine(filters, change);
  connectSearch(input, search);
  return {
    filters,
    get isNarrowed() {
      return Object.entries(NO_FILTERS).some(([name, value]) => filters[name as keyof Filters] !== value);
    },
    shown: (items) => items.filter((item) => passes(item, filters, person)),
    count: (items, nShown) => count(items, nShown, person),
    setLane: (lane) => change({ lane: filters.lane === lane ? "all" : lane }),
    setOpenOnly: (isOpenOnly) => change({ isOpenOnly }),
    clear,
  };
}

type Change = (more: Partial<Filters>) => void;

function connectRail(filters: Filters, change: Change): void {
  byId("rail").addEventListener("click", (event) => {
    const pressed = (event.target as Element).closest<HTMLElement>("button");
    const { lane, mine, open } = pressed?.dataset ?? {};
    if (lane) change({ lane, ...(lane === "all" ? { mine: "", isUnmatched: false } : {}) });
    if (mine) change({ mine: filters.mine === mine ? "" : (mine as Mine), isUnmatched: false });
    if (open) change({ isUnmatched: !filters.isUnmatched, mine: "" });
  });
}

function connectLine(filters: Filters, change: Change): void {
  byId("filter-kind").addEventListener("click", (event) => {
    const kind = (event.target as Element).closest<HTMLElement>("button")?.dataset["kind"];
    if (kind !== undefined) change({ kind });
  });
  for (const name of ["site", "modality"] as const) {
    const select = byId<HTMLSelectElement>(`filter-${name}`);
    select.addEventListener("change", () => change({ [name]: select.value }));
  }
  byId("filter-open").addEventListener("click", () => change({ isOpenOnly: !filters.isOpenOnly }));
}

function connectSearch(input: HTMLInputElement, search: (query: string) => void): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const ask = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => search(input.value.trim()), SEARCH_AFTER_MS);
  };
  // While an input method composes, the letters are not yet the word.
  input.addEventListener("input", (event) => (event as InputEvent).isComposing || ask());
  input.addEventListener("compositionend", ask);
}

function press(root: ParentNode, selector: string, isPressed: (button: HTMLElement) => boolean): void {
  for (const button of root.querySelectorAll<HTMLElement>(selector)) button.setAttribute("aria-pressed", String(isPressed(button)));
}

function show(filters: Filters): void {
  const rail = byId("rail");
  press(rail, "[data-lane]", (button) => button.dataset["lane"] === filters.lane && (filters.lane !== "all" || !(filters.mine || filters.isUnmatched)));
  press(rail, "[data-mine]", (button) => button.dataset["mine"] === filters.mine);
  press(rail, "[data-open]", () => filters.isUnmatched);
  press(byId("filter-kind"), "button", (button) => button.dataset["kind"] === filters.kind);
  byId("filter-open").setAttribute("aria-pressed", String(filters.isOpenOnly && !["to_verify", "signed_today"].includes(filters.mine)));
}

function count(items: WorklistItem[], nShown: number, person: Me): void {
  const open = items.filter(isOpen);
  for (const button of byId("rail").querySelectorAll<HTMLElement>("button")) {
    const { lane, mine, open: unmatched } = button.dataset;
    const counted = lane ? open.filter((item) => lane === "all" || item.lane === lane)
      : mine ? items.filter((item) => belongsToMine(item, mine as Mine, person))
        : unmatched ? items.filter(isUnmatched) : [];
    say(button.querySelector<HTMLElement>(".count"), counted.length, String(counted.length));
    const late = lane && lane !== "all" ? counted.filter((item) => Date.parse(item.due_at) < serverNow()).length : 0;
    say(button.querySelector<HTMLElement>(".late"), late, t("ui.worklist.late", { n: late }));
  }
  if (!document.querySelector('#rail [aria-pressed="true"]')) show(NO_FILTERS);
  const nToday = items.filter((item) => !isOpen(item)).length;
  fill(byId("shown"), rowsLabel(nShown, open.length + nToday));
  fillChoices("filter-site", items.map((item) => [item.originating_site.code, siteName(item.originating_site)]));
  fillChoices("filter-modality", items.map((item) => [item.modality, modality(item.modality)]));
  const signed = items.filter((item) => item.ended_at && item.status !== "to_verify" && item.status !== "cancelled").length;
  fill(byId("centre-today"), t("page.reader.centre_today", { n: signed }));
}

function say(element: HTMLElement | null, n: number, text: string): void {
  if (!element) return;
  element.hidden = n === 0;
  fill(element, text);
}

/** Adds what has come; a choice that is set is never taken away under the hand. */
function fillChoices(id: string, pairs: [string, string][]): void {
  const select = byId<HTMLSelectElement>(id);
  const known = new Set([...select.options].map((option) => option.value));
  for (const [value, label] of new Map(pairs)) {
    if (!known.has(value)) select.append(h("option", { value }, label));
  }
}
