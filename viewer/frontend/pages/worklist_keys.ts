/** The keys of the list, by place on the keyboard; letters are letters where text is typed. */
import { isTextField, pressesButton } from "../engine/engine.ts";
import { byId } from "../ui/h.ts";
import { LANES } from "../ui/item.ts";
import { showKeys } from "./key_table.ts";

export interface ListHands {
  move(step: number): void;
  claim(): Promise<void>;
  openNext(): Promise<void>;
  reassign(): Promise<void>;
  preview: { toggle: () => void; close: () => boolean };
  bar: { setLane: (lane: string) => void; clear: () => void; readonly isNarrowed: boolean };
}

const PAGE = 12;

export function bindListKeys(list: ListHands): void {
  const search = byId<HTMLInputElement>("search");
  const acts: Record<string, () => void> = {
    ArrowDown: () => list.move(1), KeyJ: () => list.move(1),
    ArrowUp: () => list.move(-1), KeyK: () => list.move(-1),
    PageDown: () => list.move(PAGE), PageUp: () => list.move(-PAGE), Home: () => list.move(-9999), End: () => list.move(9999),
    Enter: () => void list.claim(), NumpadEnter: () => void list.claim(),
    KeyN: () => void list.openNext(), KeyP: () => list.preview.toggle(), KeyZ: () => void list.reassign(),
    KeyF: () => byId("filter-site").focus(),
    Slash: () => { search.focus(); search.select(); },
    Escape: () => { if (!list.preview.close() && list.bar.isNarrowed) list.bar.clear(); },
  };
  LANES.forEach((lane, index) => (acts[`Digit${index + 1}`] = () => list.bar.setLane(lane)));
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    if (event.target === search) return searchKey(event, search, list);
    if (isTextField(event.target)) return;
    if (event.shiftKey) return void (event.code === "Slash" && (event.preventDefault(), showKeys("list")));
    if (pressesButton(event)) return;
    const act = acts[event.code];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

/** In the search: down goes into the list, Enter opens, Esc empties it. */
function searchKey(event: KeyboardEvent, search: HTMLInputElement, list: ListHands): void {
  if (event.code === "ArrowDown" || event.code === "Enter") {
    event.preventDefault();
    search.blur();
    byId("rows").focus();
    list.move(1);
  } else if (event.code === "Escape") {
    search.blur();
    if (list.bar.isNarrowed) list.bar.clear();
  }
}
