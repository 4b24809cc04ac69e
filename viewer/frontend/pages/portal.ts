/** /portal: the reports of one's own site, new ones first; read, acknowledge, look at the pictures. */
import { t } from "../i18n.ts";
import { exam, modality, moment, sexAndAge } from "../ui/format.ts";
import { byId, type Child, fill, h } from "../ui/h.ts";
import type { WorklistItem } from "../ui/item.ts";
import { OneAtATime } from "../ui/one_at_a_time.ts";
import { startShell } from "../ui/shell.ts";
import { failToast } from "../ui/toast.ts";
import { loadItems } from "./items.ts";
import { ReportImages } from "./report_images.ts";
import { connectReportActions, loadReport, type Report, showProgress, showReport } from "./report_view.ts";
import { segment } from "./segment.ts";
import { isAllRejected, refreshTimeLeft, sentTrack, timeLeft } from "./sent_rows.ts";
import { SignOff } from "./signoff.ts";
import { emptyState, errorState, loadInto, skeleton } from "./states.ts";
import { isPreliminary, isSigned, Studies } from "./studies.ts";

const GROUPS = ["new", "in_progress", "acknowledged"] as const;
type Group = (typeof GROUPS)[number];
const SHOWN: Readonly<Record<string, readonly Group[]>> = {
  all: ["new", "acknowledged", "in_progress"],
  unacknowledged: ["new"],
  in_progress: ["in_progress"],
};
const DAYS = 30;

export function portal(): void {
  const page = new PortalPage();
  const { live } = startShell(() => void page.load());
  live.subscribe((message) => page.take(message));
  void page.load();
}

function groupOf(item: WorklistItem): Group {
  if (item.status === "acknowledged") return "acknowledged";
  return isSigned(item) || isPreliminary(item) ? "new" : "in_progress";
}

class PortalPage {
  readonly #studies = new Studies();
  readonly #images = new ReportImages();
  readonly #signOff = new SignOff(() => void this.#show());
  readonly #filter;
  /** Who comes from an emergency access comes for one study. */
  #selected = new URLSearchParams(location.hash.slice(1)).get("study") ?? "";
  #report: Report | null = null;
  #query = "";
  readonly #loader = new OneAtATime(() => this.#load());

  constructor() {
    this.#filter = segment(byId("portal-filter"), "filter", () => this.#draw());
    byId<HTMLInputElement>("search").addEventListener("input", (event) => {
      this.#query = (event.target as HTMLInputElement).value.trim().toLowerCase();
      this.#draw();
    });
    byId("report-list").addEventListener("keydown", (event) => this.#move(event));
    connectReportActions(() => this.#report);
    setInterval(() => {
      for (const element of document.querySelectorAll<HTMLElement>("[data-time-left]")) refreshTimeLeft(element);
    }, 1000);
  }

  load(): Promise<void> {
    return this.#loader.ask();
  }

  #load(): Promise<void> {
    return loadInto(byId("report-list"), async () => {
      this.#studies.setAll(await loadItems({ since_hours: String(24 * DAYS) }));
      const items = this.#ordered();
      if (!this.#studies.has(this.#selected)) this.#selected = items[0]?.study_instance_uid ?? "";
      this.#draw();
      await this.#show();
    }, () => this.#studies.list().length > 0);
  }

  take(message: Parameters<Studies["take"]>[0]): void {
    if (this.#loader.isRunning) void this.load(); // the answer under way may not know of this yet
    if (!this.#studies.take(message)) return;
    this.#draw();
    if (message["study_instance_uid"] === this.#selected) void this.#show();
  }

  #ordered(): WorklistItem[] {
    const items = this.#studies.list();
    return (SHOWN["all"] ?? []).flatMap((group) => items.filter((item) => groupOf(item) === group).sort(newestFirst));
  }

  #draw(): void {
    const items = this.#ordered().filter((item) => matches(item, this.#query));
    const of = (group: Group): WorklistItem[] => items.filter((item) => groupOf(item) === group);
    const shown = (SHOWN[this.#filter.value] ?? []).flatMap((group): Child[] => {
      const own = of(group);
      return own.length === 0 ? [] : [h("div", { class: "group-head", role: "presentation" }, t(`ui.portal.group.${group}`)), ...own.map((item) => this.#entry(item, group))];
    });
    const focused = document.activeElement?.getAttribute("data-study");
    fill(byId("report-list"), ...(shown.length > 0 ? shown : [this.#empty(of("acknowledged").length)]));
    if (focused) byId("report-list").querySelector<HTMLElement>(`[data-study="${CSS.escape(focused)}"]`)?.focus();
    this.#showCounts({ unacknowledged: of("new").length, in_progress: of("in_progress").length, all: items.length });
  }

  #showCounts(counts: Readonly<Record<string, number>>): void {
    for (const button of byId("portal-filter").querySelectorAll<HTMLElement>("[data-filter]")) {
      fill(button.querySelector("[data-n]") as Element, counts[button.dataset["filter"] ?? ""] ?? 0);
    }
    const badge = document.getElementById("nav-unacknowledged");
    const n = this.#studies.list().filter((item) => groupOf(item) === "new").length;
    if (!badge) return;
    badge.hidden = n === 0;
    fill(badge, n);
  }

  #entry(item: WorklistItem, group: Group): HTMLElement {
    const isCurrent = item.study_instance_uid === this.#selected;
    return h("button", {
      class: `report-item${group === "new" ? " new" : ""}`, type: "button", "data-study": item.study_instance_uid, "aria-current": isCurrent ? "true" : null,
      onclick: () => this.#select(item.study_instance_uid),
    },
      h("span", { class: "person" }, h("b", {}, item.patient.name || "—"), h("span", {}, sexAndAge(item.patient))),
      h("span", { class: "end" }, moment(item.ended_at ?? item.received_at)),
      h("span", { class: "exam" }, h("span", { class: "type" }, modality(item.modality)), exam(item)),
      h("span", { class: "end" }, ...this.#state(item, group)));
  }

  #state(item: WorklistItem, group: Group): Child[] {
    if (isPreliminary(item)) return [h("span", { class: "chip amber" }, t("ui.report.status.prelim"))];
    if (group === "new") return [t("ui.report.status.final")];
    if (group === "acknowledged") return [t("ui.status.acknowledged")];
    if (isAllRejected(item)) return [h("span", { class: "amber" }, t("page.tech.nothing_left"))];
    return item.status === "receiving" ? [t("ui.status.receiving")] : [t(`ui.status.${item.status}`), " · ", timeLeft(item.due_at)];
  }

  #empty(nAcknowledged: number): HTMLElement {
    if (this.#query) return emptyState("search", t("page.none_found", { q: this.#query }));
    return emptyState("check", t("ui.portal.empty"), h("p", {}, t("page.portal.acknowledged_n", { n: nAcknowledged, days: DAYS })));
  }

  #select(uid: string): void {
    this.#selected = uid;
    for (const entry of byId("report-list").querySelectorAll("[data-study]")) {
      if (entry.getAttribute("data-study") === uid) entry.setAttribute("aria-current", "true");
      else entry.removeAttribute("aria-current");
    }
    void this.#show();
  }

  #move(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const entries = [...byId("report-list").querySelectorAll<HTMLElement>("[data-study]")];
    const next = entries[entries.findIndex((entry) => entry === document.activeElement) + step];
    next?.focus();
    if (next?.dataset["study"]) this.#select(next.dataset["study"]);
  }

  async #show(): Promise<void> {
    const uid = this.#selected;
    const items = this.#studies.of(uid);
    const item = this.#studies.list().find((one) => one.study_instance_uid === uid);
    if (!item) {
      this.#leave(emptyState("file", t("ui.portal.choose")));
      return this.#images.hide();
    }
    void this.#images.show(item);
    const reportUid = groupOf(item) === "in_progress" ? null : items.map((one) => one.report_uid).find(Boolean);
    if (!reportUid) {
      this.#leave();
      return showProgress(item, sentTrack(item));
    }
    // Nothing of one report stands under the name of another, least of all its receipt.
    if (this.#report?.report_uid !== reportUid) this.#leave(skeleton());
    try {
      const report = await loadReport(reportUid);
      if (uid !== this.#selected) return;
      this.#report = report;
      showReport(report, item);
      this.#signOff.show(report, item);
    } catch (error) {
      if (uid !== this.#selected) return;
      if (this.#report) failToast(t("page.load_failed"), error);
      else this.#leave(errorState(error, () => void this.#show()));
    }
  }

  #leave(state: HTMLElement | null = null): void {
    this.#report = null;
    this.#signOff.show(null, null);
    byId("report-body").hidden = true;
    byId("report-state").hidden = false;
    fill(byId("report-state"), state);
  }
}

function newestFirst(a: WorklistItem, b: WorklistItem): number {
  return (b.ended_at ?? b.received_at).localeCompare(a.ended_at ?? a.received_at);
}

function matches(item: WorklistItem, query: string): boolean {
  if (!query) return true;
  const { name, name_pinyin: pinyin, patient_id: id } = item.patient;
  return [name.toLowerCase(), item.accession_number.toLowerCase(), (id ?? "").toLowerCase()].some((text) => text.includes(query)) || pinyin.startsWith(query.replace(/\s/g, ""));
}
