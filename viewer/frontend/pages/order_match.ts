/** An examination that came without its request's number: is it the one that was suggested? A person says so. */
import { t } from "../i18n.ts";
import { server } from "../server.ts";
import { openDialog } from "../ui/dialog.ts";
import { exam, fullDate, modality, moment, sexAndAge } from "../ui/format.ts";
import { type Child, h, icon } from "../ui/h.ts";
import type { Patient, WorklistItem } from "../ui/item.ts";
import { toast, words } from "../ui/toast.ts";
import type { OpenOrder } from "./sent_rows.ts";

interface Suggestion {
  suggested_order: OpenOrder | null;
  study: { series: { instances: { sop_instance_uid: string; derived_state: string }[] }[] };
}

/** The suggestion's facts; `thumbnail` is the address of a small picture, where there is one. */
export async function suggestionOf(item: WorklistItem): Promise<{ order: OpenOrder | null; thumbnail: string | null }> {
  const found = await server.get<Suggestion>(`/api/workitems/${item.workitem_uid}`);
  const instance = found.study.series.flatMap((series) => series.instances).find((one) => one.derived_state === "ready");
  return { order: found.suggested_order, thumbnail: instance ? `/api/thumbnails/${instance.sop_instance_uid}` : null };
}

export function attentionCard(item: WorklistItem, order: OpenOrder, thumbnail: string | null, changed: () => void): HTMLElement {
  return h("article", { class: "attention-card", "data-study": item.study_instance_uid },
    h("div", { class: "thumb" }, thumbnail ? h("img", { src: thumbnail, alt: "" }) : h("span", { class: item.kind === "ecg" ? "no-picture" : "no-picture awaits-picture" }, icon(item.kind === "ecg" ? "heart" : "image", 24))),
    h("div", {},
      h("div", { class: "pair" }, h("span", { class: "chip dashed amber" }, t("ui.tech.suggestion")), h("span", { class: "caption" }, t("page.tech.arrived_at", { time: moment(item.received_at) }))),
      h("div", {}, h("b", {}, item.patient.name || "—"), ` ${sexAndAge(item.patient)} · ${modality(item.modality)} ${exam(item)}`),
      h("p", { class: "tx2" }, order.made_from_object ? t("page.tech.retake_words", { time: moment(order.created_at) }) : t("page.tech.suggestion_words", { accession: order.accession_number, name: order.patient.name })),
      h("div", { class: "actions" },
        h("button", { class: "btn primary small", type: "button", onclick: () => openMatch(item, order, changed) }, t("page.tech.check_order")))));
}

/** Both side by side; what differs is marked, so that nobody confirms another person's request. */
export function openMatch(item: WorklistItem, order: OpenOrder, changed: () => void): void {
  const rows: [string, string, string][] = [
    [t("ui.tech.name"), item.patient.name, order.patient.name],
    [t("ui.read.patient_id"), item.patient.patient_id ?? "—", order.patient.patient_id ?? "—"],
    [t("ui.tech.sex"), sexOf(item.patient), sexOf(order.patient)],
    [t("ui.read.birth"), item.patient.birth_date ?? "—", order.patient.birth_date ?? "—"],
    [t("ui.read.exam"), modality(item.modality), modality(order.modality)],
    [t("page.tech.day"), fullDate(item.acquired_at ?? item.received_at), fullDate(order.created_at)],
  ];
  const dialog = openDialog({
    title: t(order.made_from_object ? "page.tech.retake_title" : "page.tech.match_title"),
    icon: "link",
    size: "wide",
    consequence: t(order.made_from_object ? "page.tech.retake_consequence" : "page.tech.match_consequence"),
    body: [compare(rows), request(order)],
    primary: { words: t("ui.tech.suggestion_confirm"), run: () => settle(item, order.order_uid, changed) },
  });
  const refuse = h("button", { class: "btn danger-line", type: "button" }, t("page.tech.match_refuse"));
  refuse.addEventListener("click", () => void settle(item, null, changed).then(() => dialog.close(true), (error: unknown) => dialog.say(words(error))));
  dialog.form.querySelector("footer .btn.primary")?.before(refuse);
}

async function settle(item: WorklistItem, orderUid: string | null, changed: () => void): Promise<void> {
  await server.post(`/api/studies/${item.study_instance_uid}/order`, { order_uid: orderUid });
  toast({ kind: "success", title: t(orderUid ? "page.tech.match_done" : "page.tech.match_refused", { name: item.patient.name }) });
  changed();
}

function sexOf(patient: Patient): string {
  return patient.sex ? t(`ui.sex.${patient.sex}`) : "—";
}

function compare(rows: readonly [string, string, string][]): HTMLElement {
  const cell = (value: string, differs: boolean): Child => differs ? h("b", { class: "amber" }, value) : value;
  return h("table", { class: "compare" },
    h("thead", {}, h("tr", {}, h("th"), h("th", {}, t("page.tech.match_study")), h("th", {}, t("page.tech.match_order")))),
    h("tbody", {}, ...rows.map(([label, study, order]) => {
      const differs = study !== order;
      return h("tr", {}, h("th", {}, label), h("td", {}, cell(study, differs)), h("td", {}, cell(order, differs), differs && h("span", { class: "chip amber" }, t("page.tech.differs"))));
    })));
}

function request(order: OpenOrder): HTMLElement {
  return h("p", { class: "tx2" }, [order.accession_number, order.complaint, order.question, order.requesting_doctor].filter(Boolean).join(" · "));
}
