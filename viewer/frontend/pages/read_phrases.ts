/** `;` offers the template's phrases by the initials of their pinyin; docked above the text, never over the picture. */
import { t } from "../i18n.ts";
import { h } from "../ui/h.ts";
import type { Phrase } from "./detail.ts";
import { typeInto } from "./text_edit.ts";

const MOST = 8;

export class Phrases {
  #open: HTMLElement | null = null;
  #at = 0;
  #found: Phrase[] = [];

  constructor(private readonly phrasesOf: (section: string) => Phrase[]) {}

  /** Opens above the field; a second `;` types the character itself. */
  offer(field: HTMLTextAreaElement): void {
    this.close();
    const input = h("input", { class: "input small", type: "text", autocomplete: "off", spellcheck: "false", placeholder: t("page.reader.phrase_hint"), "aria-label": t("ui.report.phrases") });
    const list = h("ol", { role: "listbox" });
    const box = h("div", { class: "phrases" }, input, list);
    const redraw = (): void => this.#draw(list, field, input.value);
    input.addEventListener("input", () => { this.#at = 0; redraw(); });
    input.addEventListener("keydown", (event) => this.#key(event, field, list));
    input.addEventListener("blur", () => setTimeout(() => box.contains(document.activeElement) || this.close(), 120));
    field.closest(".field")?.insertBefore(box, field);
    this.#open = box;
    this.#at = 0;
    redraw();
    input.focus();
  }

  close(): void {
    this.#open?.remove();
    this.#open = null;
  }

  #draw(list: HTMLElement, field: HTMLTextAreaElement, typed: string): void {
    const wanted = typed.trim().toLowerCase();
    const all = this.phrasesOf(field.name);
    const starts = all.filter((one) => one.initials.startsWith(wanted));
    const holds = all.filter((one) => !starts.includes(one) && (one.name.includes(wanted) || one.text.includes(wanted)));
    this.#found = [...starts, ...holds].slice(0, MOST);
    list.replaceChildren(...this.#found.map((one, index) => h("li", {
      role: "option", "aria-selected": String(index === this.#at),
      onpointerdown: (event) => { event.preventDefault(); this.#take(one, field); },
    }, h("kbd", {}, index + 1), h("b", {}, one.name), h("span", {}, one.text), h("small", {}, one.initials))));
    if (this.#found.length === 0) list.append(h("li", { class: "tx3" }, t("page.reader.phrase_none")));
  }

  #key(event: KeyboardEvent, field: HTMLTextAreaElement, list: HTMLElement): void {
    if (event.isComposing) return;
    event.stopPropagation();
    const digit = /^Digit([1-8])$/.exec(event.code)?.[1];
    const chosen = digit ? this.#found[Number(digit) - 1] : event.code === "Enter" ? this.#found[this.#at] : undefined;
    if (chosen) {
      event.preventDefault();
      return this.#take(chosen, field);
    }
    if (event.code === "Escape" || event.code === "Semicolon") {
      event.preventDefault();
      this.close();
      field.focus();
      if (event.code === "Semicolon") typeInto(field, "；");
    }
    if (event.code === "ArrowDown" || event.code === "ArrowUp") {
      event.preventDefault();
      this.#at = (this.#at + (event.code === "ArrowDown" ? 1 : -1) + this.#found.length) % Math.max(1, this.#found.length);
      [...list.children].forEach((child, index) => child.setAttribute("aria-selected", String(index === this.#at)));
    }
  }

  #take(phrase: Phrase, field: HTMLTextAreaElement): void {
    this.close();
    typeInto(field, phrase.text);
    this.#selectGap(field, phrase.text);
  }

  /** An ideographic space in a phrase is a gap to fill: it is selected at once. */
  #selectGap(field: HTMLTextAreaElement, text: string): void {
    const gap = text.indexOf("\u3000");
    const start = field.selectionEnd - text.length;
    if (gap >= 0) field.setSelectionRange(start + gap, start + gap + 1);
  }
}
