/** /admin/repair: two studies side by side; one moves, two rows merge, a study splits off, images are rejected. */
import { t } from "../i18n.ts";
import { server } from "../server.ts";
import { setServerNow } from "../ui/clock.ts";
import { askReason, field, openDialog } from "../ui/dialog.ts";
import { fullDate, modality, moment } from "../ui/format.ts";
import { byId, fill, h, icon } from "../ui/h.ts";
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

interface Shown extends Found {
  patient: IndexedPatient;
  accession_number: string | null;
  report_status: string;
  order: { order_uid: string; accession_number: string; made_from_object: boolean };
  thumbnails: string[];
  conflicts: { quarantine_id: number; reason: string }[];
  rejections: { rejection_id: number; code: string; n_instances: number; by: string; reason: string; at: string; may_undo: boolean }[];
}

interface Repaired {
  repair_id: number;
  kind: string;
  from_name: string;
  to_name: string;
  reason: string;
  site: string;
  by: string;
  at: string;
  undone_at: string | null;
}

const SIDES = ["left", "right"] as const;
type Side = (typeof SIDES)[number];
const CODES = ["113001", "113037", "113038", "113039"] as const;
const SIGNED = new Set(["preliminary", "final", "delivered", "opened", "acknowledged"]);
const chosen: Partial<Record<Side, Shown>> = {};

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
    const { studies } = await server.post<{ studies: Found[] }>("/api/repair/search", { q });
    fill(byId(`found-${side}`), ...(studies.length ? studies.map((one) => h("button", { type: "button", onclick: () => void choose(side, one.study_instance_uid) },
      h("b", {}, one.name || "—"), h("span", { class: "type" }, modality(one.modality)), h("span", {}, one.description), h("span", { class: "tx2" }, `${one.site} · ${fullDate(one.acquired_at)}`)))
      : [emptyState("search", t("page.repair.none"))]));
  }, () => false);
}

async function choose(side: Side, uid: string): Promise<void> {
  fill(byId(`found-${side}`));
  await loadInto(byId(`study-${side}`), async () => {
    chosen[side] = await server.get<Shown>(`/api/repair/studies/${encodeURIComponent(uid)}`);
    draw();
  }, () => false);
}

function draw(): void {
  for (const side of SIDES) {
    const study = chosen[side];
    if (study) fill(byId(`study-${side}`), ...studyParts(study, chosen[side === "left" ? "right" : "left"]));
  }
  acts();
}

function studyParts(study: Shown, other: Shown | undefined): HTMLElement[] {
  const notes = study.rejections.map((one) => h("p", { class: "amber" }, t("page.repair.hidden", { n: one.n_instances, why: t(`page.rejection.${one.code}`), by: one.by }), " ",
    one.may_undo ? h("button", { class: "link", type: "button", onclick: () => act(t("page.repair.unreject"), t("page.repair.undo_consequence"), `/api/repair/rejections/${one.rejection_id}/undo`, {}) }, t("page.repair.unreject")) : null));
  const conflict = study.conflicts.length > 0 ? [h("p", { class: "red" }, t("page.repair.conflicts", { n: study.conflicts.length }))] : [];
  const signed = SIGNED.has(study.report_status) ? [h("p", { class: "red pair" }, icon("alert"), t("page.repair.signed"))] : [];
  return [
    patientCard(study.patient, other?.patient),
    h("dl", {},
      h("dt", {}, t("page.repair.exam")), h("dd", {}, `${modality(study.modality)} ${study.description} · ${moment(study.acquired_at)} · ${t("ui.images.n", { n: study.n_instances })}`),
      h("dt", {}, t("page.repair.accession")), h("dd", { class: "mono" }, study.accession_number ?? "—"),
      h("dt", {}, t("page.repair.order")), h("dd", { class: "mono" }, study.order.made_from_object ? t("page.repair.no_order") : study.order.accession_number),
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
    right && isOther && isSameSite && button(t("page.repair.move"), () => act(t("page.repair.move"), t("page.repair.move_consequence", names), `${at}/move`, { to_patient_pk: right.patient.patient_pk }), "primary"),
    right && isOther && isSameSite && button(t("page.repair.merge"), () => act(t("page.repair.merge"), t("page.repair.merge_consequence", names), "/api/repair/merge", { from_patient_pk: left.patient.patient_pk, to_patient_pk: right.patient.patient_pk })),
    button(t("page.repair.split"), () => split(left, at)),
    button(t("page.repair.reject"), () => reject(at)));
}

async function again(): Promise<void> {
  for (const side of SIDES) {
    const study = chosen[side];
    if (study) chosen[side] = await server.get<Shown>(`/api/repair/studies/${encodeURIComponent(study.study_instance_uid)}`);
  }
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
  fill(byId("history"), h("table", { class: "office-table" }, h("tbody", {}, ...repairs.map((one) => h("tr", { "data-repair": one.repair_id },
    h("td", { class: "tx2" }, moment(one.at)), h("td", {}, t(`page.repair.kind.${one.kind}`)), h("td", {}, `${one.from_name} → ${one.to_name}`), h("td", {}, one.site), h("td", {}, one.by), h("td", { class: "tx2" }, one.reason),
    h("td", { class: "actions" }, one.undone_at ? h("span", { class: "tx3" }, t("page.repair.undone"))
      : h("button", { class: "link red", type: "button", onclick: () => act(t("page.repair.undo"), t("page.repair.undo_consequence"), `/api/repair/repairs/${one.repair_id}/undo`, {}) }, t("page.repair.undo"))))))));
}
