/** /admin/repair: two studies side by side; one moves, two rows merge, a study splits off, images are rejected. */
import { t } from "../i18n.ts";
import { server } from "../server.ts";
import { setServerNow } from "../ui/clock.ts";
import { askReason, field, openDialog } from "../ui/dialog.ts";
import { exam, fullDate, modality, moment, siteName } from "../ui/format.ts";
import { byId, type Child, fill, h, icon } from "../ui/h.ts";
import type { Order } from "../ui/item.ts";
import { type Rejection, rejectedBy, rejectedWords } from "../ui/rejected.ts";
import { installRelogin } from "../ui/relogin.ts";
import { connectUserMenu } from "../ui/shell.ts";
import { toast, words } from "../ui/toast.ts";
import { type IndexedPatient, patientCard } from "./admin_persons.ts";
import { emptyState, loadInto } from "./states.ts";

interface Found {
  study_instance_uid: string;
  name: string;
  site: string;
  modality: string;
  description: string;
  acquired_at: string;
  n_instances: number;
}

/** A request without images. */
interface FoundOrder {
  order_uid: string;
  name: string;
  site: string;
  modality: string;
  body_part: string;
  created_at: string;
  accession_number: string;
}

/** Whom a study can be moved to, with their requests that still wait. */
interface Target {
  patient: IndexedPatient;
  open_orders: Order[];
}

interface Shown extends Found, Target {
  accession_number: string | null;
  report_status: string;
  order: { order_uid: string; accession_number: string; made_from_object: boolean };
  thumbnails: string[];
  conflicts: { quarantine_id: number; reason: string }[];
  rejections: (Rejection & { rejection_id: number; may_undo: boolean })[];
}

interface Repaired {
  repair_id: number;
  kind: string;
  from_name: string;
  to_name: string;
  reason: string;
  site: { name: string; name_en: string };
  by: string;
  at: string;
  undone_at: string | null;
}

const SIDES = ["left", "right"] as const;
type Side = (typeof SIDES)[number];
const CODES = ["113001", "113037", "113038", "113039"] as const;
const SIGNED = new Set(["preliminary", "final", "delivered", "opened", "acknowledged"]);
const chosen: { left?: Shown; right?: Shown | (Target & { order_uid: string }) } = {};

export function repair(): void {
  installRelogin(server);
  connectUserMenu();
  for (const form of document.querySelectorAll<HTMLFormElement>("form[data-side]")) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void search(form.dataset["side"] as Side, form.querySelector("input")?.value.trim() ?? "");
    });
  }
  void start();
}

async function start(): Promise<void> {
  const { now } = await server.get<{ now: string }>("/api/session");
  setServerNow(now);
  const wanted = location.hash.slice(1); // from the quarantine: the study in conflict
  if (wanted) await choose("left", decodeURIComponent(wanted));
  await loadInto(byId("history"), history, () => byId("history").querySelector("table") !== null);
}

async function search(side: Side, q: string): Promise<void> {
  if (!q) return;
  await loadInto(byId(`found-${side}`), async () => {
    const { studies, orders } = await server.post<{ studies: Found[]; orders: FoundOrder[] }>("/api/repair/search", { q });
    const found = studies.map((one) => h("button", { type: "button", onclick: () => void choose(side, one.study_instance_uid) },
      h("b", {}, one.name || "—"), h("span", { class: "type" }, modality(one.modality)), h("span", {}, one.description), h("span", { class: "tx2" }, `${one.site} · ${fullDate(one.acquired_at)}`)));
    if (side === "right") {
      found.push(...orders.map((one) => h("button", { type: "button", "data-order": one.order_uid, onclick: () => void chooseOrder(one.order_uid) },
        h("b", {}, one.name || "—"), h("span", { class: "type" }, modality(one.modality)), h("span", {}, orderExam(one)), h("span", { class: "chip outline" }, t("page.repair.waits")), h("span", { class: "tx2" }, `${one.site} · ${fullDate(one.created_at)} · ${one.accession_number}`))));
    }
    fill(byId(`found-${side}`), ...(found.length ? found : [emptyState("search", t("page.repair.none"))]));
  }, () => false);
}

async function choose(side: Side, uid: string): Promise<void> {
  fill(byId(`found-${side}`));
  await loadInto(byId(`study-${side}`), async () => {
    chosen[side] = await server.get<Shown>(`/api/repair/studies/${encodeURIComponent(uid)}`);
    draw();
  }, () => false);
}

/** The right patient by a request of theirs: images of theirs may not have come at all. */
async function chooseOrder(uid: string): Promise<void> {
  fill(byId("found-right"));
  await loadInto(byId("study-right"), async () => {
    chosen.right = { ...(await server.get<Target>(`/api/repair/orders/${encodeURIComponent(uid)}`)), order_uid: uid };
    draw();
  }, () => false);
}

function draw(): void {
  const { left, right } = chosen;
  if (left) fill(byId("study-left"), ...studyParts(left, right));
  if (right) fill(byId("study-right"), ...("order_uid" in right ? [patientCard(right.patient, left?.patient)] : studyParts(right, left)), ...waitingOrders(right, left));
  acts();
}

function orderExam(one: { modality: string; body_part: string }): string {
  return exam({ description: "", body_part: one.body_part, modality: one.modality });
}

/** Beside the study that is wrong: what the right patient still waits for. */
function waitingOrders(target: Target, study: Shown | undefined): HTMLElement[] {
  if (!study || target.patient.patient_pk === study.patient.patient_pk) return [];
  return [h("h3", {}, t("page.repair.orders")), ...(target.open_orders.length ? target.open_orders.map((one) => h("p", { class: "waiting-order", "data-order": one.order_uid }, ...orderFacts(one, study)))
    : [h("p", { class: "tx3" }, t("page.repair.no_orders"))])];
}

function orderFacts(one: Order, study: Shown): Child[] {
  return [h("span", { class: one.modality === study.modality ? "type" : "type differs" }, modality(one.modality)), ` ${orderExam(one)} · `, h("span", { class: "mono" }, one.accession_number), ` · ${moment(one.created_at)}`,
    h("span", { class: "caption" }, [one.complaint, one.question].filter(Boolean).map((words) => ` · ${words}`).join(""))];
}

function studyParts(study: Shown, other: Target | undefined): HTMLElement[] {
  const notes = study.rejections.map((one) => h("p", { class: "amber", "data-rejection": one.code }, rejectedWords(one), " ", h("span", { class: "caption" }, rejectedBy(one)), " ",
    one.may_undo ? h("button", { class: "link", type: "button", onclick: () => act(t("page.repair.unreject"), t("page.repair.undo_consequence"), `/api/repair/rejections/${one.rejection_id}/undo`, {}) }, t("page.repair.unreject")) : null));
  const conflict = study.conflicts.length > 0 ? [h("p", { class: "red" }, t("page.repair.conflicts", { n: study.conflicts.length }))] : [];
  const signed = SIGNED.has(study.report_status) ? [h("p", { class: "red pair" }, icon("alert"), t("page.repair.signed"))] : [];
  return [
    patientCard(study.patient, other?.patient),
    h("dl", {},
      h("dt", {}, t("page.repair.exam")), h("dd", {}, `${modality(study.modality)} ${study.description} · ${moment(study.acquired_at)} · ${t("ui.images.n", { n: study.n_instances })}`),
      h("dt", {}, t("page.repair.accession")), h("dd", { class: "mono" }, study.accession_number ?? "—"),
      h("dt", {}, t("page.repair.order")), study.order.made_from_object ? h("dd", { class: "tx3" }, t("page.repair.no_order")) : h("dd", { class: "mono" }, study.order.accession_number),
      h("dt", {}, "UID"), h("dd", { class: "mono" }, study.study_instance_uid)),
    h("div", { class: "repair-thumbs" }, ...study.thumbnails.map((uid) => h("img", { src: `/api/repair/thumbnails/${uid}`, alt: "", loading: "lazy" }))),
    ...signed, ...conflict, ...notes,
  ];
}

function acts(): void {
  const { left, right } = chosen;
  const place = byId("acts");
  place.hidden = !left;
  if (!left) return;
  const button = (label: string, run: () => void, kind = ""): HTMLElement => h("button", { class: `btn ${kind}`, type: "button", onclick: run }, label);
  const at = `/api/repair/studies/${encodeURIComponent(left.study_instance_uid)}`;
  const names = { from: left.patient.name, to: right?.patient.name ?? "" };
  const isOther = right && right.patient.patient_pk !== left.patient.patient_pk;
  const isSameSite = right && right.patient.site.code === left.patient.site.code;
  fill(place,
    right && !isOther && h("span", { class: "tx2" }, t("page.repair.same")),
    right && isOther && !isSameSite && h("span", { class: "amber" }, t("page.repair.other_site")),
    right && isOther && isSameSite && button(t("page.repair.move"), () => move(left, right, at), "primary"),
    right && isOther && isSameSite && button(t("page.repair.merge"), () => act(t("page.repair.merge"), t("page.repair.merge_consequence", names), "/api/repair/merge", { from_patient_pk: left.patient.patient_pk, to_patient_pk: right.patient.patient_pk })),
    button(t("page.repair.split"), () => split(left, at)),
    button(t("page.repair.reject"), () => reject(at)));
}

async function again(): Promise<void> {
  const study = (uid: string): Promise<Shown> => server.get<Shown>(`/api/repair/studies/${encodeURIComponent(uid)}`);
  const { left, right } = chosen;
  if (left) chosen.left = await study(left.study_instance_uid);
  if (right) chosen.right = "order_uid" in right ? { ...(await server.get<Target>(`/api/repair/orders/${encodeURIComponent(right.order_uid)}`)), order_uid: right.order_uid } : await study(right.study_instance_uid);
  draw();
  await history();
}

function act(title: string, consequence: string, path: string, body: Record<string, unknown>): void {
  void askReason({
    title, consequence, words: title,
    run: async (reason) => {
      await server.post(path, { ...body, reason });
      toast({ kind: "success", title: t("page.person.done") });
      await again();
    },
  });
}

function form(title: string, consequence: string, body: HTMLElement[], run: (fields: FormData, reason: string) => Promise<unknown>): void {
  const reasonField = field(t("ui.dialog.reason"), h("textarea", { class: "textarea", name: "reason", rows: 2, maxlength: 256 }), true);
  openDialog({
    title, consequence, body: [...body, reasonField],
    primary: {
      words: title, run: async (fields) => {
        const reason = String(fields.get("reason") ?? "").trim();
        if (!reason) throw new Error(t("ui.dialog.reason_missing"));
        await run(fields, reason);
        toast({ kind: "success", title: t("page.person.done") });
        await again().catch((error: unknown) => toast({ kind: "error", title: words(error) }));
      },
    },
  });
}

/** To the patient, and where requests of theirs wait, to the one that a person names or expressly to none. */
function move(study: Shown, target: Target, at: string): void {
  const consequence = t("page.repair.move_consequence", { from: study.patient.name, to: target.patient.name });
  if (target.open_orders.length === 0) return act(t("page.repair.move"), consequence, `${at}/move`, { to_patient_pk: target.patient.patient_pk });
  const option = (value: string, ...label: Child[]): HTMLElement => h("label", { class: "order-choice" }, h("input", { type: "radio", name: "order_uid", value }), h("span", {}, ...label));
  form(t("page.repair.move"), consequence,
    [h("div", { class: "move-sides" },
      h("div", {}, h("h3", {}, t("page.repair.exam")), h("p", {}, h("span", { class: "type" }, modality(study.modality)), ` ${study.description}`), h("p", { class: "caption" }, `${moment(study.acquired_at)} · ${t("ui.images.n", { n: study.n_instances })}`)),
      h("fieldset", {}, h("legend", {}, t("page.repair.choose_order")), ...target.open_orders.map((one) => option(one.order_uid, ...orderFacts(one, study))), option("none", t("page.repair.without_order"))))],
    (fields, reason) => {
      const order = text(fields, "order_uid");
      if (!order) throw new Error(t("page.repair.order_missing"));
      return server.post(`${at}/move`, { to_patient_pk: target.patient.patient_pk, order_uid: order === "none" ? null : order, reason });
    });
}

function split(study: Shown, at: string): void {
  const input = (name: string, label: string, value: string, isRequired = false): HTMLElement => field(label, h("input", { class: "input", name, value, maxlength: 64, autocomplete: "off" }), isRequired);
  const sex = h("select", { class: "select", name: "sex" }, ...["", "M", "F", "O"].map((code) => h("option", { value: code, selected: code === (study.patient.sex ?? "") }, code ? t(`ui.sex.${code}`) : "—")));
  form(t("page.repair.split"), t("page.repair.split_consequence"),
    [input("name", t("page.repair.name"), study.patient.name, true), input("patient_id", t("page.repair.patient_id"), ""), field(t("page.repair.sex"), sex), input("birth_date", t("page.repair.birth_date"), study.patient.birth_date ?? "")],
    (fields, reason) => server.post(`${at}/split`, { reason, patient: { name: text(fields, "name"), patient_id: text(fields, "patient_id") || null, sex: text(fields, "sex") || null, birth_date: text(fields, "birth_date") || null } }));
}

function reject(at: string): void {
  const code = h("select", { class: "select", name: "code" }, ...CODES.map((one) => h("option", { value: one }, `${one} ${t(`page.rejection.${one}`)}`)));
  form(t("page.repair.reject"), t("page.repair.reject_consequence"), [field(t("page.repair.code"), code)],
    (fields, reason) => server.post(`${at}/reject`, { code: text(fields, "code"), reason }));
}

function text(fields: FormData, name: string): string {
  return String(fields.get(name) ?? "").trim();
}

async function history(): Promise<void> {
  const { repairs } = await server.get<{ repairs: Repaired[] }>("/api/repair/repairs");
  if (!repairs.length) return fill(byId("history"), emptyState("check", t("page.repair.no_history")));
  const heads = ["at", "kind", "patients", "site", "by", "reason", "act"].map((name) => h("th", {}, name === "act" ? "" : t(`page.repair.head.${name}`)));
  fill(byId("history"), h("table", { class: "office-table" }, h("thead", {}, h("tr", {}, ...heads)), h("tbody", {}, ...repairs.map((one) => h("tr", { "data-repair": one.repair_id },
    h("td", { class: "tx2" }, moment(one.at)), h("td", {}, t(`page.repair.kind.${one.kind}`)), h("td", {}, `${one.from_name} → ${one.to_name}`), h("td", {}, siteName(one.site)), h("td", {}, one.by), h("td", { class: "tx2" }, one.reason),
    h("td", { class: "actions" }, one.undone_at ? h("span", { class: "tx3" }, t("page.repair.undone"))
      : h("button", { class: "link red", type: "button", onclick: () => act(t("page.repair.undo"), t("page.repair.undo_consequence"), `/api/repair/repairs/${one.repair_id}/undo`, {}) }, t("page.repair.undo"))))))));
}
