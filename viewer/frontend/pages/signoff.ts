/** The receipt: a report that stood on a screen for two seconds was opened; a named person says it was read. */
import { t } from "../i18n.ts";
import { ApiError, server } from "../server.ts";
import { actionWords } from "../ui/deliverytrack.ts";
import { openDialog } from "../ui/dialog.ts";
import { moment } from "../ui/format.ts";
import { byId, fill, h, icon } from "../ui/h.ts";
import { me, type WorklistItem } from "../ui/item.ts";
import { toast, words } from "../ui/toast.ts";
import { portalDelivery, type Report } from "./report_view.ts";

const OPENED_AFTER_MS = 2000;

export class SignOff {
  #report: Report | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #told = new Set<string>();

  constructor(private readonly changed: () => void) {
    byId("signoff").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#ask();
    });
    document.addEventListener("visibilitychange", () => this.#countToOpened());
    addEventListener("keydown", (event) => {
      const target = event.target as HTMLElement;
      const isFree = target === document.body || target.closest(".report-words, .report-item") !== null;
      if (event.key !== "Enter" || !isFree || target.closest("a, button:not(.report-item)") || byId("dialogs").children.length > 0) return;
      event.preventDefault();
      byId("signoff").querySelector<HTMLElement>("button")?.focus(); // the second Enter signs: one slip must not
    });
  }

  /** Only the originating site's clinician gives receipts. */
  show(report: Report | null, item: WorklistItem | null): void {
    const isMine = me().role === "clinician" && item?.originating_site.code === me().site;
    this.#report = isMine ? report : null;
    clearTimeout(this.#timer);
    const bar = byId("signoff");
    bar.hidden = !this.#report;
    if (!this.#report) return;
    this.#draw(this.#report);
    this.#countToOpened();
  }

  #draw(report: Report): void {
    const delivery = portalDelivery(report);
    const isAcknowledged = delivery?.state === "ACKED";
    const isPreliminary = report.status === "PRELIM";
    const head = byId("signoff").querySelector(".grow");
    const words = isAcknowledged && delivery.acknowledged_at
      ? [h("b", { class: "pair green" }, icon("check"), t("ui.portal.acknowledged", { name: delivery.acknowledged_by ?? "", time: moment(delivery.acknowledged_at) })),
        h("p", { class: "caption" }, delivery.action_taken ? `${t("ui.portal.action")} ${actionWords(delivery.action_taken)}` : t("page.signoff.seen"))]
      : report.names_other_patient
        ? [h("b", { class: "pair red" }, icon("alert"), t("page.identity.report_title")), h("p", { class: "caption" }, t("page.identity.acknowledge_text"))]
      : isPreliminary
        ? [h("b", {}, t("page.signoff.preliminary")), h("p", { class: "caption" }, t("page.signoff.preliminary_note"))]
        : [h("b", {}, t("ui.portal.acknowledge_head")), h("p", { class: "caption" }, t("ui.portal.acknowledge_note"))];
    if (head) fill(head, ...words);
    byId("action-taken").hidden = byId("acknowledge").hidden = isAcknowledged || isPreliminary;
  }

  #countToOpened(): void {
    clearTimeout(this.#timer);
    const report = this.#report;
    const key = report ? `${report.report_uid} ${report.revision}` : "";
    if (!report || this.#told.has(key) || document.visibilityState !== "visible") return;
    this.#timer = setTimeout(() => {
      this.#told.add(key);
      server.post(`/api/reports/${report.report_uid}/opened`).catch(() => this.#told.delete(key));
    }, OPENED_AFTER_MS);
  }

  /** Of a report that names somebody else a slip is no receipt: it is said once more, and the way back has the focus. */
  async #ask(): Promise<void> {
    const report = this.#report;
    if (report?.names_other_patient) {
      const dialog = openDialog({
        title: t("page.identity.report_title"), icon: "alert", size: "narrow", consequence: t("page.identity.acknowledge_text"),
        primary: { words: t("page.identity.acknowledge_anyway"), isDanger: true, run: () => undefined },
      });
      dialog.element.querySelector<HTMLElement>("footer .btn:not(.danger)")?.focus();
      if (!(await dialog.done) || this.#report?.report_uid !== report.report_uid) return;
    }
    await this.acknowledge();
  }

  async acknowledge(): Promise<void> {
    const report = this.#report;
    const button = byId<HTMLButtonElement>("acknowledge");
    if (!report || button.disabled || button.hidden) return;
    const chosen = byId<HTMLSelectElement>("action-taken").value || "noted";
    button.disabled = true;
    try {
      await server.post(`/api/reports/${report.report_uid}/acknowledge`, { action: chosen });
      toast({ kind: "success", title: t("page.signoff.done"), text: t("page.signoff.seen") });
    } catch (error) {
      const isDone = error instanceof ApiError && error.code === "delivery_illegal_move";
      toast({ kind: isDone ? "info" : "error", title: isDone ? t("page.signoff.by_another") : words(error) });
    } finally {
      button.disabled = false;
    }
    this.changed();
  }
}
