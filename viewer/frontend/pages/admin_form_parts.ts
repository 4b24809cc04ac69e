/** What the dialogs of administration are made of. */
import { t } from "../i18n.ts";
import { field, openDialog } from "../ui/dialog.ts";
import { type Child, h } from "../ui/h.ts";
import { toast } from "../ui/toast.ts";

export type Changed = () => void;
export type Choice = readonly [value: string, words: string];

export function input(name: string, label: string, value: string | number | null, more: Record<string, string | number | boolean> = {}): HTMLElement {
  const { required, ...rest } = more;
  return field(label, h("input", { class: "input", name, value: value ?? "", autocomplete: "off", spellcheck: "false", id: `form-${name}`, ...rest }), Boolean(required));
}

export function select(name: string, label: string, value: string, choices: readonly Choice[]): HTMLElement {
  return field(label, h("select", { class: "select", name, id: `form-${name}` }, ...choices.map(([key, words]) => h("option", { value: key, selected: key === value }, words))));
}

export function check(name: string, words: string, isOn: boolean, value = "1"): HTMLElement {
  return h("label", { class: "check" }, h("input", { type: "checkbox", name, value, checked: isOn }), words);
}

export function wide(element: HTMLElement): HTMLElement {
  element.classList.add("wide");
  return element;
}

export function head(words: string): HTMLElement {
  return h("h3", { class: "wide form-head" }, words);
}

export function say(changed: Changed): void {
  toast({ kind: "success", title: t("ui.admin.saved") });
  changed();
}

export function show(title: string, iconName: string, body: Child[], save: (fields: FormData) => Promise<unknown>, changed: Changed, consequence?: string): void {
  openDialog({
    title, icon: iconName, size: "wide", consequence, body: [h("div", { class: "form" }, ...body)],
    primary: { words: t("ui.admin.form.save"), run: async (fields) => { await save(fields); say(changed); } },
  });
}

export const text = (fields: FormData, name: string): string => String(fields.get(name) ?? "").trim();

/** Null for an empty field; what is no number is said, or it would leave here as null and empty the field. */
export function number(fields: FormData, name: string, label: string): number | null {
  const typed = text(fields, name);
  if (typed && !/^\d+$/.test(typed)) throw new Error(t("page.number_wrong", { field: label }));
  return typed ? Number(typed) : null;
}
