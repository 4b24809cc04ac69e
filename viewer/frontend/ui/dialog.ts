/** Dialogs: title, consequence in one sentence, a reason where the audit needs one; Esc goes back, focus stays inside. */
import { t } from "../i18n.ts";
import { byId, type Child, fill, h, icon } from "./h.ts";
import { words } from "./toast.ts";

export interface DialogOptions {
  title: string;
  icon?: string;
  consequence?: string;
  body?: Child[];
  size?: "narrow" | "wide" | "document";
  /** `run` may be slow; what it throws is said in the dialog, which stays open. */
  primary?: { words: string; key?: string; isDanger?: boolean; run: (fields: FormData) => Promise<void> | void };
  back?: string;
  note?: string;
  /** False: it must be answered; neither Esc nor a back button leaves it. */
  mayLeave?: boolean;
}

export interface Dialog {
  element: HTMLElement;
  form: HTMLFormElement;
  close: (isDone?: boolean) => void;
  /** True once the primary action succeeded, false when somebody went back. */
  done: Promise<boolean>;
  say: (error: string) => void;
}

const FOCUSABLE = 'a[href], button:not(:disabled), input:not(:disabled):not([type="hidden"]), select:not(:disabled), textarea:not(:disabled), iframe, [tabindex]:not([tabindex="-1"])';

let nOpened = 0;

export function openDialog(options: DialogOptions): Dialog {
  const mayLeave = options.mayLeave ?? true;
  const id = `dialog-${++nOpened}`; // one dialog may open over another
  const before = document.activeElement;
  let finish: (isDone: boolean) => void = () => undefined;
  const done = new Promise<boolean>((resolve) => (finish = resolve));
  const error = h("p", { class: "field-error", role: "alert", hidden: true });
  const primary = options.primary ? primaryButton(options.primary) : null;
  const close = (isDone = false): void => {
    scrim.remove();
    setInert(false);
    if (before instanceof HTMLElement) before.focus();
    finish(isDone);
  };
  const back = mayLeave ? h("button", { class: "btn", type: "button", onclick: () => close() }, options.back ?? t("ui.dialog.back")) : null;
  const form = formOf(options, id, error, [back, primary]);
  const element = h("div", {
    class: `dialog ${options.size ?? ""}`.trim(), role: "dialog", "aria-modal": "true", tabindex: "-1",
    "aria-labelledby": `${id}-title`, "aria-describedby": options.consequence ? `${id}-consequence` : null,
  }, form);
  const scrim = h("div", { class: "scrim" }, element);
  const say = (sentence: string): void => {
    fill(error, sentence);
    error.hidden = !sentence;
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (options.primary && primary) void run(options.primary.run, form, [primary, back], say, close);
  });
  scrim.addEventListener("keydown", (event) => {
    event.stopPropagation(); // the page's own keys sleep under a dialog
    // While the action is under way nobody knows yet whether it was done.
    if (event.key === "Escape" && mayLeave && !primary?.ariaBusy && !event.isComposing) close();
    if (event.key === "Tab") keepInside(event, element);
  });
  byId("dialogs").append(scrim);
  setInert(true);
  (firstField(form) ?? primary ?? back ?? element).focus();
  return { element, form, close, done, say };
}

function formOf(options: DialogOptions, id: string, error: HTMLElement, buttons: Child[]): HTMLFormElement {
  return h("form", { novalidate: true },
    h("header", {}, options.icon ? icon(options.icon) : null, h("h2", { id: `${id}-title` }, options.title)),
    h("div", { class: "body" },
      options.consequence && h("p", { class: "consequence", id: `${id}-consequence` }, options.consequence),
      ...(options.body ?? []), error),
    h("footer", {}, h("span", { class: "note" }, options.note ?? ""), ...buttons));
}

/** Where typing starts; null in a dialog without fields, or where none can be used any more. */
function firstField(form: HTMLElement): HTMLElement | null {
  const usable = [...form.querySelectorAll<HTMLElement>(".body :is(input, textarea, select):not(:disabled)")];
  return usable.find((one) => one.hasAttribute("autofocus")) ?? usable[0] ?? null;
}

function primaryButton(primary: NonNullable<DialogOptions["primary"]>): HTMLButtonElement {
  return h("button", { class: `btn ${primary.isDanger ? "danger" : "primary"}`, type: "submit" }, primary.words, primary.key && h("kbd", {}, primary.key));
}

async function run(
  act: (fields: FormData) => Promise<void> | void,
  form: HTMLFormElement,
  [button, back]: [HTMLButtonElement, HTMLButtonElement | null],
  say: (sentence: string) => void,
  close: (isDone: boolean) => void,
): Promise<void> {
  if (button.disabled) return;
  const setBusy = (isBusy: boolean): void => {
    button.disabled = isBusy;
    button.ariaBusy = isBusy ? "true" : null;
    if (back) back.disabled = isBusy;
  };
  setBusy(true);
  say("");
  try {
    await act(new FormData(form));
    close(true);
  } catch (error) {
    say(words(error));
    setBusy(false);
    (firstField(form) ?? button).focus();
  }
}

/** What is behind a dialog can neither be reached nor read out. */
function setInert(isInert: boolean): void {
  const open = byId("dialogs").children.length;
  for (const child of document.body.children) {
    if (child.id === "dialogs" || child.id === "toasts" || child.id === "announce") continue;
    child.toggleAttribute("inert", isInert || open > 0);
  }
  const scrims = [...byId("dialogs").children];
  scrims.forEach((scrim, index) => scrim.toggleAttribute("inert", index < scrims.length - 1));
}

function keepInside(event: KeyboardEvent, element: HTMLElement): void {
  const stops = [...element.querySelectorAll<HTMLElement>(FOCUSABLE)].filter((stop) => stop.offsetParent !== null);
  const first = stops[0];
  const last = stops[stops.length - 1];
  if (!first || !last) return event.preventDefault();
  const isAtEdge = document.activeElement === (event.shiftKey ? first : last);
  if (isAtEdge || !element.contains(document.activeElement)) {
    event.preventDefault();
    (event.shiftKey ? last : first).focus();
  }
}

/** A labelled field for a dialog's body. */
export function field(label: string, control: HTMLElement, isRequired = false): HTMLElement {
  control.id ||= `field-${control.getAttribute("name") ?? "only"}`;
  return h("div", { class: "field" }, h("label", { for: control.id, class: isRequired ? "required" : null }, label), control);
}

export interface ReasonOptions {
  title: string;
  consequence: string;
  words: string;
  label?: string;
  maxLength?: number;
  isDanger?: boolean;
  run: (reason: string) => Promise<void>;
}

/** Asks for the reason the audit needs; resolves true once `run` succeeded with it. */
export function askReason(options: ReasonOptions): Promise<boolean> {
  const input = h("textarea", { class: "textarea", name: "reason", rows: 3, maxlength: options.maxLength ?? 256, autofocus: true });
  return openDialog({
    title: options.title,
    consequence: options.consequence,
    body: [field(options.label ?? t("ui.dialog.reason"), input, true)],
    primary: {
      words: options.words,
      isDanger: options.isDanger,
      run: (fields) => {
        const reason = String(fields.get("reason") ?? "").trim();
        if (!reason) throw new Error(t("ui.dialog.reason_missing"));
        return options.run(reason);
      },
    },
  }).done;
}
