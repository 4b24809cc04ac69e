/** Short notices bottom right: at most three, one action each; never for a critical result. */
import { t } from "../i18n.ts";
import { byId, h, icon } from "./h.ts";

export type ToastKind = "success" | "info" | "warning" | "error";

export interface Toast {
  kind: ToastKind;
  title: string;
  text?: string;
  action?: { words: string; key?: string; run: () => void };
}

const ICONS: Readonly<Record<ToastKind, string>> = { success: "check", info: "user", warning: "return", error: "alert" };
/** Errors stay until somebody closes them. */
const SHOWN_MS: Readonly<Record<ToastKind, number>> = { success: 4000, info: 10_000, warning: 10_000, error: 0 };
const MOST = 3;

/** What went wrong: an ApiError carries its sentence in the page's language. */
export function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Says what failed and why, until somebody closes it; gives back how to take it away. */
export function failToast(title: string, error: unknown): () => void {
  return toast({ kind: "error", title, text: error ? words(error) : undefined });
}

/** For work that nobody awaits: its failure is said. */
export function told(work: Promise<unknown>): void {
  work.catch((error: unknown) => toast({ kind: "error", title: words(error) }));
}

/** Shows a notice and gives back how to take it away. */
export function toast(notice: Toast): () => void {
  const host = byId("toasts");
  const { action } = notice;
  const close = (): void => made.remove();
  const made = h("div", { class: `toast ${notice.kind}` },
    icon(ICONS[notice.kind]),
    h("div", {}, h("div", { class: "title" }, notice.title), notice.text && h("div", { class: "text" }, notice.text)),
    action ? h("button", { class: "link", type: "button", onclick: () => { close(); action.run(); } }, action.words, action.key && " ", action.key && h("kbd", {}, action.key)) : h("span"),
    h("button", { class: "close", type: "button", "aria-label": t("ui.toast.close"), onclick: close }, icon("close", 14)));
  host.append(made);
  while (host.children.length > MOST) (host.querySelector(".toast:not(.error)") ?? host.firstElementChild)?.remove();
  closeLater(made, SHOWN_MS[notice.kind], close);
  return close;
}

/** Nothing disappears under the pointer or the keyboard focus. */
function closeLater(element: HTMLElement, afterMs: number, close: () => void): void {
  if (!afterMs) return;
  const check = (): void => {
    if (element.matches(":hover, :focus-within")) setTimeout(check, 1000);
    else close();
  };
  setTimeout(check, afterMs);
}
