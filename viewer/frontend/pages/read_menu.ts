/** What is rarely needed, behind 更多: give back, give to another, end an addendum without writing. */
import { t } from "../i18n.ts";
import { byId, h, icon } from "../ui/h.ts";
import type { Reading } from "./read.ts";

let closeOpen: (() => void) | null = null;

/** Opens the menu, or shuts it where it is open. */
export function openMenu(reading: Reading): void {
  if (closeOpen) return closeOpen();
  const button = byId("more-actions");
  const close = (): void => {
    closeOpen = null;
    menu.remove();
    button.setAttribute("aria-expanded", "false");
    button.focus();
    document.removeEventListener("pointerdown", outside, true);
  };
  const outside = ({ target }: Event): void => void (menu.contains(target as Node) || button.contains(target as Node) || close());
  const body = document.body.dataset, ohifPort = body.ohifPort;
  const item = (name: string, words: string, act: () => Promise<void>): HTMLElement =>
    h("button", { type: "button", role: "menuitem", onclick: () => { close(); void act(); } }, icon(name), words);
  const menu = h("div", { class: "menu up", id: "more-menu", role: "menu" },
    item("return", t("ui.report.release"), () => reading.release()),
    reading.person.role !== "trainee" && reading.detail?.step === "interpretation" && item("image", t("ui.report.retake"), () => reading.retake()),
    reading.person.role !== "trainee" && item("users", t("ui.worklist.reassign"), () => reading.reassign()),
    reading.detail?.step === "addendum" && item("check", t("page.reader.dismiss"), () => reading.dismiss()),
    ohifPort && body.kind === "image" && item("image", t("page.reader.ohif"), async () => void window.open(
      `${location.protocol}//${location.hostname}:${ohifPort}/viewer?StudyInstanceUIDs=${body.study}`, "_blank", "noopener")));
  menu.addEventListener("keydown", (event) => {
    const items = [...menu.querySelectorAll<HTMLElement>("button")];
    const at = items.indexOf(document.activeElement as HTMLElement);
    if (event.code === "Escape" || event.code === "Tab") { event.stopPropagation(); close(); }
    if (event.code === "ArrowDown" || event.code === "ArrowUp") items[(at + (event.code === "ArrowDown" ? 1 : -1) + items.length) % items.length]?.focus();
    if (event.code.startsWith("Arrow")) event.preventDefault();
  });
  byId("sign-actions").append(menu);
  button.setAttribute("aria-expanded", "true");
  closeOpen = close;
  document.addEventListener("pointerdown", outside, true);
  menu.querySelector<HTMLElement>("button")?.focus();
}
