/** Series and priors to choose from: the column beside a CT, the strip under the pictures, the measurements. */
import { t } from "../i18n.ts";
import type { Measurement } from "../engine/engine.ts";
import { circled } from "../engine/marks.ts";
import { exam, fullDate, modality } from "../ui/format.ts";
import { byId, type Child, fill, h, icon } from "../ui/h.ts";
import { rejectedChip, rejectedLines } from "../ui/rejected.ts";
import { type Detail, isFilm, type Prior } from "./detail.ts";
import type { Hang, Layout } from "./read_hanging.ts";
import { ageOf } from "./read_panes.ts";

export interface CardHands {
  current: Hang[];
  priors: Hang[];
  panes: { hang: Hang | null }[];
  layout: Layout;
  show: (hang: Hang) => void;
  hangPrior: (prior: Prior) => Promise<void>;
}

export function showCards(images: CardHands, detail: Detail | null): void {
  const isStack = images.current.some((hang) => !isFilm(hang.series.modality));
  const column = byId("series");
  column.hidden = !isStack;
  byId("strip-current").hidden = isStack;
  if (isStack) fill(column, h("h3", {}, t("ui.read.current")), ...images.current.map((hang) => seriesCard(hang, images)), ...priorSeries(images));
  else fill(byId("current-cards"), ...images.current.map((hang) => filmCard(hang, images, detail)));
  const place = byId("prior-cards");
  if (detail) fill(place, ...priorCards(detail, images));
  for (const button of byId("layouts").querySelectorAll<HTMLElement>("button")) button.setAttribute("aria-pressed", String(button.dataset["layout"] === images.layout));
  const isBeside = images.panes.some((pane) => pane.hang?.isPrior);
  fill(byId("layout-note"), isBeside ? t("page.reader.hung_prior") : "");
}

function isHung(hang: Hang, images: CardHands): boolean {
  return images.panes.some((pane) => pane.hang?.key === hang.key);
}

function middle(hang: Hang): { uid: string; isReady: boolean } | null {
  const ready = hang.series.instances.filter((one) => one.state === "ready");
  const one = ready[Math.floor(ready.length / 2)];
  return one ? { uid: one.sop_instance_uid, isReady: true } : null;
}

function thumb(hang: Hang, ...more: Child[]): HTMLElement {
  const one = middle(hang);
  return h("span", { class: "thumb" }, one ? h("img", { src: `/api/thumbnails/${one.uid}`, alt: "", draggable: "false" }) : icon("ring", 17), ...more);
}

function countWords(hang: Hang): string {
  const { instances } = hang.series;
  const frames = instances.reduce((sum, one) => sum + Math.max(1, one.frames?.length ?? 1), 0);
  const ready = instances.filter((one) => one.state === "ready").length;
  const n = t("page.reader.slices", { n: frames });
  return ready < instances.length ? `${n} · ${t("page.reader.prepared", { n: ready, of: instances.length })}` : n;
}

function seriesCard(hang: Hang, images: CardHands): HTMLElement {
  const { series } = hang;
  return h("button", { class: "series-card", type: "button", "aria-pressed": String(isHung(hang, images)), "data-series": hang.seriesUid, onclick: () => images.show(hang) },
    thumb(hang, series.number !== null && h("span", { class: "n" }, series.number)),
    h("b", {}, series.description || series.modality), h("small", {}, countWords(hang)));
}

function priorSeries(images: CardHands): Child[] {
  return images.priors.length ? [h("h3", {}, t("page.reader.prior")), ...images.priors.map((hang) => seriesCard(hang, images))] : [];
}

function filmCard(hang: Hang, images: CardHands, detail: Detail | null): HTMLElement {
  const one = hang.series.instances[0];
  const view = [one?.laterality, one?.view_position].filter(Boolean).join(" ");
  return h("button", { class: "card", type: "button", "aria-pressed": String(isHung(hang, images)), onclick: () => images.show(hang) },
    thumb(hang), h("span", {}, h("b", {}, view || hang.series.description || (detail ? exam(detail) : "")), h("small", {}, countWords(hang))));
}

function priorCards(detail: Detail, images: CardHands): HTMLElement[] {
  const cards = [...detail.priors.map((prior) => priorCard(prior, images, detail)), ...detail.hidden_priors.map((one) =>
    h("div", { class: "hidden-prior caption" }, `${fullDate(one.acquired_at)} ${modality(one.modality)} ${exam(one)}`, ...rejectedLines(one.rejections)))];
  return cards.length ? cards : [h("p", { class: "caption" }, t("ui.read.no_priors"))];
}

function priorCard(prior: Prior, images: CardHands, detail: Detail): HTMLElement {
  const hang = images.priors.find((one) => one.studyUid === prior.study_instance_uid);
  const isOn = images.panes.some((pane) => pane.hang?.studyUid === prior.study_instance_uid);
  return h("button", { class: "card", type: "button", "aria-pressed": String(isOn), disabled: prior.kind === "ecg", onclick: () => void images.hangPrior(prior) },
    hang ? thumb(hang) : h("span", { class: "thumb" }, icon(prior.kind === "ecg" ? "sheet" : "image", 17)),
    h("span", {}, h("b", {}, fullDate(prior.acquired_at)), h("small", {}, `${modality(prior.modality)} ${exam(prior)}`), h("small", {}, ageOf(prior.acquired_at, detail.acquired_at ?? detail.received_at)), rejectedChip(prior.rejections)));
}

/** The measurements of the pictures that hang, in the order they were drawn. */
export function showMeasures(marks: Measurement[], active: string | null, insert: (mark: Measurement) => void): void {
  byId("strip-measures").hidden = marks.length === 0;
  const list = byId("measures");
  const text = JSON.stringify([marks, active]);
  if (list.dataset["shown"] === text) return;
  list.dataset["shown"] = text;
  fill(list, ...marks.map((mark) => h("li", { class: mark.id === active ? "active" : null },
    h("span", { class: "n" }, circled(mark.number)), h("span", { class: "value" }, mark.text),
    h("button", { class: "btn small", type: "button", onclick: () => insert(mark) }, t("page.reader.key.insert"), mark.id === active && h("kbd", {}, "Ins")))));
}
