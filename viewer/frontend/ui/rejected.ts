/** Images that a rejection note hides: how many, why, by whom and when, in the same words on every page. */
import { t } from "../i18n.ts";
import { moment } from "./format.ts";
import { type Child, h, icon } from "./h.ts";

export interface Rejection {
  code: string;
  n_instances: number;
  by: string;
  reason: string;
  at: string;
}

export function rejectedWords(one: Rejection): string {
  return t("page.identity.rejected", { n: one.n_instances, why: t(`page.rejection.${one.code}`) });
}

export function rejectedBy(one: Rejection): string {
  return [one.by, moment(one.at), one.reason].filter(Boolean).join(" · ");
}

/** Room for a chip: how many; the rest when the pointer rests on it, and for whoever listens to the page. */
export function rejectedChip(all: readonly Rejection[]): Child {
  if (all.length === 0) return null;
  const whole = all.map((one) => `${rejectedWords(one)} (${rejectedBy(one)})`).join("\n");
  return h("span", { class: "chip amber", title: whole, "aria-label": whole, "data-rejected": all.length }, icon("eye", 13),
    t("page.identity.hidden_n", { n: all.reduce((sum, one) => sum + one.n_instances, 0) }));
}

/** Room for sentences. */
export function rejectedLines(all: readonly Rejection[]): HTMLElement[] {
  return all.map((one) => h("p", { class: "caption rejected", "data-rejection": one.code }, h("span", { class: "amber" }, rejectedWords(one)), ` · ${rejectedBy(one)}`));
}

export function rejectedBanners(all: readonly Rejection[], kind: string): HTMLElement[] {
  return all.map((one) => h("div", { class: `banner amber ${kind}`.trim(), role: "status", "data-rejection": one.code }, icon("eye"),
    h("p", {}, h("b", {}, rejectedWords(one)), ` ${rejectedBy(one)}`)));
}
