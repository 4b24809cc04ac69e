/** What stands in place of a list: nothing yet, nothing at all, or what went wrong and what to do. */
import { t } from "../i18n.ts";
import { type Child, fill, h, icon } from "../ui/h.ts";
import { failToast, words } from "../ui/toast.ts";

export function skeleton(lines = 4): HTMLElement {
  return h("div", { class: "skeleton", "aria-label": t("ui.loading") }, ...Array.from({ length: lines }, () => h("i")));
}

export function emptyState(iconName: string, title: string, ...more: Child[]): HTMLElement {
  return h("div", { class: "state" }, icon(iconName, 24), h("b", {}, title), ...more);
}

export function errorState(error: unknown, retry: () => void): HTMLElement {
  return h("div", { class: "state error", role: "alert" },
    icon("alert", 24), h("b", {}, t("page.load_failed")), h("p", {}, words(error)),
    h("button", { class: "btn small", type: "button", onclick: retry }, t("ui.retry")));
}

/** Runs a load and shows its failure in `place`, unless something is shown already that stays. */
export async function loadInto(place: Element, load: () => Promise<void>, hasContent: () => boolean): Promise<void> {
  try {
    await load();
  } catch (error) {
    if (hasContent()) return void failToast(t("page.load_failed"), error);
    fill(place, errorState(error, () => {
      fill(place, skeleton());
      void loadInto(place, load, hasContent);
    }));
  }
}
