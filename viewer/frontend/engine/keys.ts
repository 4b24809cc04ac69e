/** The keys of the picture, by place on the keyboard (`event.code`): an open input method changes nothing. */
import type { ToolName } from "./tools/tool.ts";
import type { Viewport } from "./viewport.ts";

export type Action =
  | { tool: ToolName }
  | { preset: number }
  | { scroll: number }
  | "invert" | "rotate" | "flip" | "reset" | "fit" | "original" | "overlays" | "remove";

/** `Shift+` before a code where it matters. Data, so that a site can change it and `?` can show it. */
export type KeyTable = Readonly<Record<string, Action>>;

const PAGE = 10;

export const imageKeys: KeyTable = {
  KeyW: { tool: "window" },
  KeyZ: { tool: "zoom" },
  KeyP: { tool: "pan" },
  KeyY: { tool: "stack" },
  KeyL: { tool: "length" },
  ...Object.fromEntries([1, 2, 3, 4, 5, 6, 7, 8, 9].map((digit) => [`Digit${digit}`, { preset: digit }])),
  ArrowUp: { scroll: -1 },
  ArrowDown: { scroll: 1 },
  PageUp: { scroll: -PAGE },
  PageDown: { scroll: PAGE },
  Home: { scroll: -Infinity },
  End: { scroll: Infinity },
  KeyI: "invert",
  KeyO: "rotate",
  "Shift+KeyO": "overlays",
  KeyF: "flip",
  Digit0: "reset",
  Space: "original",
  Delete: "remove",
};

type KeyPress = Pick<KeyboardEvent, "code" | "shiftKey" | "ctrlKey" | "altKey" | "metaKey" | "isComposing">;

/** The action of a press, null for none: chords belong to others, composing belongs to the input method. */
export function actionOf(event: KeyPress, table: KeyTable = imageKeys): Action | null {
  if (event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return null;
  return table[event.shiftKey ? `Shift+${event.code}` : event.code] ?? null;
}

/** Where letters are typed, they are letters. */
export function isTextField(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

/** Enter and Space belong to a button or a link that has the focus. */
export function pressesButton({ code, target }: KeyboardEvent): boolean {
  return (code === "Enter" || code === "NumpadEnter" || code === "Space") && target instanceof Element && target.closest("button, a, summary") !== null;
}

export function perform(viewport: Viewport, action: Action): void {
  if (typeof action === "object") {
    if ("tool" in action) viewport.setTool(action.tool);
    else if ("preset" in action) viewport.preset(action.preset);
    else viewport.setIndex(Math.min(viewport.count - 1, Math.max(0, viewport.index + action.scroll)));
    return;
  }
  const acts: Record<typeof action, () => void> = {
    invert: () => viewport.invert(),
    rotate: () => viewport.rotate(),
    flip: () => viewport.flip(),
    reset: () => viewport.reset(),
    fit: () => viewport.fit(),
    original: () => viewport.holdOriginalSize(true),
    overlays: () => viewport.toggleOverlays(),
    remove: () => viewport.marks.removeActive(),
  };
  acts[action]();
}

/** Listens on the whole page for the viewport that is active; gives back how to stop. */
export function bindImageKeys(active: () => Viewport | null, table: KeyTable = imageKeys): () => void {
  const controller = new AbortController();
  const options = { signal: controller.signal };
  document.addEventListener("keydown", (event) => {
    const viewport = active();
    const action = isTextField(event.target) || event.defaultPrevented ? null : actionOf(event, table);
    if (!viewport || !action || pressesButton(event)) return;
    event.preventDefault();
    if (!event.repeat || (typeof action === "object" && "scroll" in action)) perform(viewport, action);
  }, options);
  document.addEventListener("keyup", (event) => event.code === "Space" && active()?.holdOriginalSize(false), options);
  window.addEventListener("blur", () => active()?.holdOriginalSize(false), options);
  return () => controller.abort();
}
