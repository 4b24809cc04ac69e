/** ECG files brought by hand: dropped or chosen, told who it is, sent with a progress bar, refused by name. */
import { t } from "../i18n.ts";
import { ApiError, server } from "../server.ts";
import { field, openDialog } from "../ui/dialog.ts";
import { bytes, sexAndAge } from "../ui/format.ts";
import { byId, fill, h } from "../ui/h.ts";
import { me } from "../ui/item.ts";
import { toast, told, words } from "../ui/toast.ts";
import { birthDate, URGENCY } from "./order_form.ts";
import type { OpenOrder } from "./sent_rows.ts";

export interface UploadPage {
  openOrders: () => readonly OpenOrder[];
  /** What stands in the request form already. */
  draft: () => Record<string, string>;
  done: () => void;
}

const DICOM_MAGIC = "DICM";
const MOST_NAMES = 3;

export function startUploads(page: UploadPage): void {
  const zone = byId("dropzone");
  const input = byId<HTMLInputElement>("files");
  input.addEventListener("change", () => {
    told(ask([...(input.files ?? [])], page));
    input.value = "";
  });
  for (const name of ["dragover", "drop"] as const) addEventListener(name, (event) => event.preventDefault()); // a file beside the zone must not replace the page
  zone.addEventListener("dragover", () => zone.classList.add("over"));
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    zone.classList.remove("over");
    told(dropped(event).then((files) => ask(files, page)));
  });
}

/** All files of what was dropped, folders included. */
async function dropped(event: DragEvent): Promise<File[]> {
  const entries = [...(event.dataTransfer?.items ?? [])].flatMap((item) => item.webkitGetAsEntry() ?? []);
  return (await Promise.all(entries.map(filesOf))).flat();
}

async function filesOf(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile) return [await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject))];
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: File[] = [];
  for (;;) {
    const part = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (part.length === 0) return found;
    for (const one of part) found.push(...(await filesOf(one)));
  }
}

async function isDicom(file: File): Promise<boolean> {
  return new TextDecoder("latin1").decode(await file.slice(128, 132).arrayBuffer()) === DICOM_MAGIC;
}

/** DICOM says who it is; a WFDB record does not, and without a name nobody could be told the result. */
async function ask(files: readonly File[], page: UploadPage): Promise<void> {
  if (files.length === 0) return;
  const isNamed = (await Promise.all(files.map(isDicom))).every(Boolean);
  const draft = page.draft();
  const orders = page.openOrders().filter((order) => order.modality === "ECG");
  const fields = h("div", { class: "form" }, ...patientFields(draft, !isNamed));
  const choice = h("select", { class: "select", name: "order" },
    h("option", { value: "" }, t(isNamed ? "page.upload.as_in_file" : "page.upload.new_order")),
    ...orders.map((order) => h("option", { value: order.order_uid }, `${order.accession_number} ${order.patient.name} ${sexAndAge(order.patient)}`)));
  const showFields = (): void => { fields.hidden = choice.value !== "" || isNamed; };
  choice.addEventListener("change", showFields);
  showFields();
  openDialog({
    title: t("page.upload.title"),
    icon: "upload",
    size: "wide",
    consequence: t(isNamed ? "page.upload.consequence_dicom" : "page.upload.consequence"),
    body: [fileList(files), !isNamed && field(t("page.upload.order"), choice), !isNamed && recordedAt(), fields],
    primary: {
      words: t("page.upload.send"),
      run: (given) => {
        const sent = formOf(files, given, orders, isNamed);
        // The request form is emptied for what came out of it, and only while nobody has typed on.
        const isFromForm = !isNamed && !given.get("order");
        const done = (): void => {
          if (isFromForm && JSON.stringify(page.draft()) === JSON.stringify(draft)) page.done();
        };
        void send(files, sent, done);
      },
    },
  });
}

function fileList(files: readonly File[]): HTMLElement {
  const total = files.reduce((sum, file) => sum + file.size, 0);
  const names = files.slice(0, MOST_NAMES).map((file) => file.name).join(t("ui.list_separator"));
  const more = files.length > MOST_NAMES ? ` ${t("page.upload.more", { n: files.length - MOST_NAMES })}` : "";
  return h("p", { class: "file-names" }, h("b", {}, names), more, h("span", { class: "tx2 nowrap" }, ` · ${bytes(total)}`));
}

/** Many WFDB headers carry no clock: whoever recorded it may know. */
function recordedAt(): HTMLElement {
  const input = h("input", { class: "input", type: "datetime-local", name: "recorded_at", id: "upload-recorded_at", step: 1 });
  return h("div", {}, field(t("page.upload.recorded_at"), input), h("p", { class: "hint" }, t("page.upload.recorded_hint")));
}

function patientFields(draft: Readonly<Record<string, string>>, isRequired: boolean): HTMLElement[] {
  const input = (name: string, label: string, needed = false): HTMLElement =>
    field(label, h("input", { class: "input", name, value: draft[name] ?? "", maxlength: 64, autocomplete: "off", id: `upload-${name}` }), needed);
  const select = (name: string, label: string, values: readonly [string, string][]): HTMLElement =>
    field(label, h("select", { class: "select", name, id: `upload-${name}` }, ...values.map(([value, shown]) => h("option", { value, selected: value === draft[name] }, shown))));
  const complaint = field(t("ui.tech.complaint"), h("input", { class: "input", name: "complaint", value: draft["complaint"] ?? "", maxlength: 2000, id: "upload-complaint" }));
  complaint.classList.add("wide");
  return [
    input("patient_name", t("ui.tech.name"), isRequired), input("patient_id", t("ui.read.patient_id")),
    select("sex", t("ui.tech.sex"), [["", "—"], ["M", t("ui.sex.M")], ["F", t("ui.sex.F")]]),
    input("birth_date", t("ui.read.birth")), complaint,
    select("urgency", t("ui.tech.priority"), Object.keys(URGENCY).map((value) => [value, t(`ui.lane.${value}`)])),
    input("requesting_doctor", t("ui.tech.doctor")),
  ];
}

/** Raises what the dialog says where the name is missing or the date is none. */
function formOf(files: readonly File[], given: FormData, orders: readonly OpenOrder[], isNamed: boolean): FormData {
  const form = new FormData();
  form.set("site", me().site);
  const recorded = String(given.get("recorded_at") ?? "");
  for (const [name, value] of Object.entries(isNamed ? {} : { ...valuesOf(given, orders), recorded_at: recorded })) if (value) form.set(name, value);
  for (const file of files) form.append("file", file, file.name);
  return form;
}

function valuesOf(given: FormData, orders: readonly OpenOrder[]): Record<string, string> {
  const order = orders.find((one) => one.order_uid === given.get("order"));
  if (order) {
    const { patient } = order;
    return { accession_number: order.accession_number, patient_name: patient.name, patient_id: patient.patient_id ?? "", sex: patient.sex ?? "", birth_date: patient.birth_date ?? "" };
  }
  const value = (name: string): string => String(given.get(name) ?? "").trim();
  if (!value("patient_name")) throw new Error(t("page.upload.name_missing"));
  const birth = value("birth_date") && birthDate(value("birth_date"), "9999-12-31");
  if (birth === null) throw new Error(t("ui.tech.date_wrong"));
  const { priority, pathway } = URGENCY[value("urgency")] ?? { priority: "routine", pathway: null };
  return { patient_name: value("patient_name"), patient_id: value("patient_id"), sex: value("sex"), birth_date: birth, complaint: value("complaint"), requesting_doctor: value("requesting_doctor"), priority, pathway: pathway ?? "" };
}

async function send(files: readonly File[], form: FormData, done: () => void): Promise<void> {
  const name = files.length === 1 ? files[0]?.name ?? "" : t("page.upload.files", { name: files[0]?.name ?? "", n: files.length });
  const total = files.reduce((sum, file) => sum + file.size, 0);
  const bar = h("i");
  const share = h("b", {}, "0\u00a0%");
  const state = h("span", {}, t("ui.tech.upload.running"));
  const amount = h("span", {}, bytes(total));
  const progress = h("div", { class: "progress", role: "progressbar", "aria-label": name }, bar);
  const entry = h("div", { class: "upload" }, h("div", { class: "line" }, h("span", { class: "file-names" }, name), share), progress, h("div", { class: "line caption" }, amount, state));
  byId("uploads").prepend(entry);
  const show = (part: number): void => {
    bar.style.setProperty("--share", part.toFixed(3));
    fill(share, `${Math.round(part * 100)}\u00a0%`);
    fill(amount, `${bytes(Math.round(total * part))} / ${bytes(total)}`);
  };
  try {
    const { study_instance_uids: made, duplicates } = await server.uploadWithProgress<{ study_instance_uids: string[]; duplicates: string[] }>("/api/ecg", form, show);
    show(1);
    progress.classList.add("green");
    fill(state, h("span", { class: "green" }, t("ui.tech.upload.done")));
    if (duplicates.length < made.length) toast({ kind: "success", title: t("page.upload.done", { n: made.length - duplicates.length }), text: name });
    if (duplicates.length > 0) toast({ kind: "warning", title: t("page.upload.duplicate", { n: duplicates.length }), text: name });
    done();
    setTimeout(() => entry.remove(), 8000);
  } catch (error) {
    progress.classList.add("red");
    fill(state, h("span", { class: "red" }, t("ui.tech.upload.failed")));
    entry.append(refusal(error, files, form, done, entry));
  }
}

/** What is wrong, with the file it is about; it stays until somebody closes it. */
function refusal(error: unknown, files: readonly File[], form: FormData, done: () => void, entry: HTMLElement): HTMLElement {
  const file = error instanceof ApiError && typeof error.details["file"] === "string" ? error.details["file"] : "";
  const sentence = words(error);
  const named = file && !sentence.includes(file) ? `${file}：${sentence}` : sentence;
  return h("div", { class: "upload-error", role: "alert" },
    h("p", { class: "red" }, named),
    h("div", { class: "pair" },
      h("button", { class: "link", type: "button", onclick: () => { entry.remove(); void send(files, form, done); } }, t("ui.retry")),
      h("button", { class: "link", type: "button", onclick: () => entry.remove() }, t("ui.dialog.close"))));
}
