/** The keys of the reading page, by place on the keyboard. Letters act outside text fields, F-keys and chords everywhere. */
import { isTextField } from "../engine/engine.ts";
import { byId } from "../ui/h.ts";
import { toggleFullscreen } from "./read_images.ts";
import { editor } from "./read_panel.ts";

export interface ReadHands {
  saved(): Promise<unknown>;
  sign(): Promise<void>;
  preliminary(): Promise<void>;
  returnReport(): Promise<void>;
  insertNormal(): void;
  takePrior(): void;
  insertMeasurement(): void;
  openNext(): Promise<void>;
  toList(): Promise<void>;
  showKeys(): void;
  nextLayout(): void;
  /** The ECG's own keys; true when one of them was pressed. */
  ecgKey(code: string, key: string): boolean;
  focusImage(): void;
}

export function bindReadKeys(hands: ReadHands): void {
  const everywhere: Record<string, () => void> = {
    "Ctrl+KeyS": () => void hands.saved(), "Ctrl+Enter": () => void hands.sign(), "Ctrl+NumpadEnter": () => void hands.sign(),
    "Ctrl+KeyI": () => hands.insertMeasurement(), Insert: () => hands.insertMeasurement(),
    F2: () => hands.insertNormal(), F4: () => hands.takePrior(), F7: () => void hands.returnReport(), F10: () => void hands.preliminary(),
  };
  const outside: Record<string, () => void> = {
    KeyG: () => hands.nextLayout(), KeyV: () => toggleFullscreen(), KeyN: () => void hands.openNext(),
    Escape: () => void hands.toList(), "Shift+Slash": () => hands.showKeys(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.defaultPrevented || event.altKey || event.metaKey || document.querySelector("#dialogs > *")) return;
    const name = `${event.ctrlKey ? "Ctrl+" : ""}${event.shiftKey ? "Shift+" : ""}${event.code}`;
    if (everywhere[name]) return take(event, everywhere[name]);
    if (event.ctrlKey) return;
    if (event.code === "Tab") return tab(event, hands);
    if (isTextField(event.target)) return void (event.code === "Escape" && take(event, () => hands.focusImage()));
    if (outside[name]) return take(event, outside[name]);
    if (!event.shiftKey || event.key === "+") if (hands.ecgKey(event.code, event.key)) event.preventDefault();
  });
}

function take(event: KeyboardEvent, act: () => void): void {
  event.preventDefault();
  if (!event.repeat) act();
}

/** From the picture into the report, from its last field back to the picture; Shift+Tab goes the plain way. */
function tab(event: KeyboardEvent, hands: ReadHands): void {
  if (event.shiftKey) return;
  const at = event.target as Element;
  if (at.closest(".viewport, .ecg-sheet") || at === document.body) take(event, () => editor("findings").focus());
  else if (at === byId("impression")) take(event, () => hands.focusImage());
}
