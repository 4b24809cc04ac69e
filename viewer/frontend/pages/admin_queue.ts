/** 回传队列: every report on its way, what the other end said, and what can be done about it. */
import { t, tOr } from "../i18n.ts";
import { server } from "../server.ts";
import { type DeliveryState, deliveryTrack } from "../ui/deliverytrack.ts";
import { modality, moment, siteName, timeWithSeconds } from "../ui/format.ts";
import { byId, type Child, fill, h } from "../ui/h.ts";
import { toast, told } from "../ui/toast.ts";
import { causeOf, outcomeWords, type Queue, type QueuedDelivery, type Site } from "./admin_data.ts";
import { examination, since } from "./admin_sites.ts";
import { KeyedRows } from "./keyed.ts";
import { segment } from "./segment.ts";
import { emptyState } from "./states.ts";

interface DeadJob {
  job_id: number;
  kind: string;
  key: string;
  n_attempts: number;
  last_error: string | null;
  dead_at: string | null;
  due_at: string | null;
}

/** States from which the table of moves lets a person send again. */
const RESENDABLE: readonly DeliveryState[] = ["RETRY", "DEAD", "ACCEPTED"];

export class QueuePane {
  #queue: Queue | null = null;
  #selected = 0;
  #detailMark = "";
  readonly #filter = segment(byId("queue-filter"), "filter", () => told(this.load()));
  readonly #rows = new KeyedRows(byId("delivery-rows"));
  readonly #deadRows = new KeyedRows(byId("dead-rows"));

  constructor(private readonly sites: () => readonly Site[]) {}

  async load(): Promise<void> {
    const filter = this.#filter.value;
    const [queue, { jobs }] = await Promise.all([
      server.get<Queue>(`/api/admin/deliveries?state=${filter}`), server.get<{ jobs: DeadJob[] }>("/api/admin/jobs"),
    ]);
    if (filter !== this.#filter.value) return;
    this.#queue = queue;
    this.#draw(queue);
    this.#drawDead(jobs);
  }

  /** From the site's page: all deliveries, this one chosen. */
  open(deliveryId: number): void {
    this.#filter.set("all");
    this.#selected = deliveryId;
    told(this.load());
  }

  #draw(queue: Queue): void {
    for (const button of byId("queue-filter").querySelectorAll<HTMLElement>("[data-filter]")) {
      fill(button.querySelector("[data-n]") as Element, queue.counts[button.dataset["filter"] as keyof Queue["counts"]]);
    }
    const oldest = queue.oldest_unacknowledged;
    const site = this.sites().find((one) => one.code === oldest?.site);
    fill(byId("oldest-unacknowledged"), oldest ? t("ui.admin.oldest", { time: since(oldest.at), site: site ? siteName(site) : oldest.site }) : "");
    if (!queue.deliveries.some((one) => one.delivery_id === this.#selected)) this.#selected = queue.deliveries[0]?.delivery_id ?? 0;
    this.#rows.show(queue.deliveries.map((one) => ({ one, isSelected: one.delivery_id === this.#selected })),
      ({ one }) => String(one.delivery_id), ({ one, isSelected }) => this.#row(one, isSelected));
    fill(byId("delivery-rows-state"), queue.deliveries.length === 0 && emptyState("check", t("ui.admin.queue_empty")));
    this.#showDetail(queue.deliveries.find((one) => one.delivery_id === this.#selected));
  }

  #row(one: QueuedDelivery, isSelected: boolean): HTMLElement {
    const choose = (): void => {
      this.#selected = one.delivery_id;
      if (this.#queue) this.#draw(this.#queue);
    };
    const row = h("tr", { "data-delivery": one.delivery_id, "data-state": one.state, "aria-selected": String(isSelected), tabindex: 0, onclick: choose },
      h("td", { class: "tx2" }, one.signed_at ? moment(one.signed_at) : "—"),
      h("td", {}, siteName(one.site)),
      h("td", {}, examination(one)),
      h("td", {}, h("span", { class: "chip outline" }, `v${one.document_version}`)),
      h("td", {}, t(`ui.channel.${one.channel}`)),
      h("td", { class: "mono" }, one.peer ?? "—"),
      h("td", {}, deliveryTrack(one.state), archiveWords(one)),
      h("td", {}, one.n_attempts),
      h("td", { class: "tx2" }, one.next_attempt_at ? timeWithSeconds(one.next_attempt_at) : "—"),
      h("td", { class: "tx2 wraps" }, one.state === "SUPERSEDED" ? t("admin.outcome.superseded") : outcomeWords(one.last_error)));
    row.addEventListener("keydown", (event) => {
      const next = event.key === "ArrowDown" ? row.nextElementSibling : event.key === "ArrowUp" ? row.previousElementSibling : null;
      if (event.key === "Enter" || event.key === " ") choose();
      else if (next instanceof HTMLElement) next.focus();
      else return;
      event.preventDefault();
    });
    return row;
  }

  #showDetail(one: QueuedDelivery | undefined): void {
    const mark = JSON.stringify(one ?? null);
    if (mark === this.#detailMark) return;
    this.#detailMark = mark;
    const place = byId("delivery-detail");
    if (!one) return fill(place, emptyState("send", t("ui.admin.choose_delivery")));
    const more: Child[] = [
      h("h3", {}, t("ui.admin.attempts")), this.#attempts(one),
      h("h3", {}, t("ui.admin.other_channels")),
      h("ul", { class: "deliveries" }, ...one.other_channels.map((other) => h("li", {}, t(`ui.channel.${other.channel}`), h("span", { class: "end" }, deliveryTrack(other.state))))),
    ];
    fill(place,
      h("header", {}, h("h2", {}, `${one.patient_name} ${modality(one.modality)} v${one.document_version}`), deliveryTrack(one.state)),
      h("p", { class: "tx2" }, `${siteName(one.site)} · ${t(`ui.channel.${one.channel}`)}`, one.peer && " · ", one.peer && h("span", { class: "mono" }, one.peer)),
      one.archive && h("p", {}, archiveWords(one), " ", one.archive.at && h("span", { class: "tx2" }, timeWithSeconds(one.archive.at))),
      this.#remedy(one), ...more);
  }

  /** The cause in words and what helps, with the one button that may. */
  #remedy(one: QueuedDelivery): Child {
    if (one.state === "SUPERSEDED") return h("p", { class: "tx2" }, t("admin.outcome.superseded"));
    const cause = causeOf(one.last_error);
    const button = RESENDABLE.includes(one.state) && one.channel !== "portal"
      ? h("button", { class: one.state === "ACCEPTED" ? "btn small" : "btn primary small", type: "button", id: "resend", onclick: (event) => told(this.#resend(one, event.currentTarget as HTMLButtonElement)) }, t("ui.admin.resend"))
      : null;
    if (!cause || one.state === "ACCEPTED") return button && h("div", { class: "actions" }, button);
    return h("div", { class: `remedy${one.state === "DEAD" ? " red" : ""}` },
      h("b", {}, cause.title), h("p", {}, cause.advice),
      one.next_attempt_at && h("p", { class: "tx2" }, t("page.admin.next_try", { time: timeWithSeconds(one.next_attempt_at) })),
      button && h("div", { class: "actions" }, button));
  }

  #attempts(one: QueuedDelivery): HTMLElement {
    if (one.attempts.length === 0) return h("p", { class: "tx3" }, t("page.admin.no_attempts"));
    return h("ul", { class: "attempts" }, ...one.attempts.map((attempt) => {
      const isWell = attempt.outcome === "accepted";
      return h("li", {},
        h("span", { class: "tx2" }, timeWithSeconds(attempt.at)),
        h("span", { class: isWell ? "green" : "amber" }, outcomeWords(attempt.outcome)),
        h("span", {}, [attempt.status, attempt.detail].filter(Boolean).join(" ") || "—"));
    }));
  }

  async #resend(one: QueuedDelivery, button: HTMLButtonElement): Promise<void> {
    button.disabled = true;
    try {
      await server.post(`/api/admin/deliveries/${one.delivery_id}/resend`);
      toast({ kind: "success", title: t("ui.admin.resent"), text: `${one.patient_name} ${one.peer ?? ""}` });
    } finally {
      button.disabled = false;
      this.#detailMark = "";
      told(this.load());
    }
  }

  #drawDead(jobs: readonly DeadJob[]): void {
    byId("dead-panel").hidden = jobs.length === 0;
    fill(byId("dead-rows-state"));
    this.#deadRows.show(jobs, (job) => String(job.job_id), (job) => h("tr", { "data-job": job.job_id },
      h("td", { class: "tx2" }, job.dead_at ? moment(job.dead_at) : job.due_at ? t("page.admin.next_try", { time: timeWithSeconds(job.due_at) }) : "—"),
      h("td", {}, h("b", {}, jobName(job.kind)), " ", h("span", { class: "mono tx3" }, job.key)),
      h("td", {}, job.n_attempts),
      h("td", { class: "tx2 wraps" }, outcomeWords(job.last_error)),
      h("td", { class: "actions" }, h("button", { class: "link", type: "button", onclick: () => told(this.#again(job)) }, t("page.admin.again")))));
  }

  async #again(job: DeadJob): Promise<void> {
    try {
      await server.post(`/api/admin/jobs/${job.job_id}/resend`);
      toast({ kind: "success", title: t("ui.admin.resent") });
    } finally {
      told(this.load());
    }
  }
}

/** Whether the receiving PACS has confirmed that it keeps the report. */
function archiveWords(one: QueuedDelivery): Child {
  if (!one.archive) return null;
  const tone = { asked: "tx2", archived: "green", not_kept: "red", unanswered: "amber" }[one.archive.state];
  return h("small", { class: `below ${tone}`, "data-archive": one.archive.state }, t(`ui.admin.archive.${one.archive.state}`));
}

function jobName(kind: string): string {
  return tOr(`page.admin.job.${kind}`, kind);
}
