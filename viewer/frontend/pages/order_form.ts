/** A new request in under a minute, with the keyboard alone: Enter goes on, arrows choose, F9 registers. */
import { t } from "../i18n.ts";
import { ApiError, server } from "../server.ts";
import { serverNow } from "../ui/clock.ts";
import { fullDate } from "../ui/format.ts";
import { byId, fill, h, icon } from "../ui/h.ts";
import { me } from "../ui/item.ts";
import { toast, words } from "../ui/toast.ts";
import { showDeviceNames } from "./device_names.ts";
import { segment } from "./segment.ts";
import { hint, type Pathway } from "./triage.ts";

export const PARTS: Readonly<Record<string, readonly string[]>> = {
  DR: ["chest", "lspine", "cspine", "knee", "hand", "foot", "pelvis", "abdomen"],
  CT: ["head", "chest", "abdomen", "lspine", "cspine", "pelvis"],
  ECG: ["heart"],
};
/** What the urgency button stands for in the order. */
export const URGENCY: Readonly<Record<string, { priority: string; pathway: Pathway | null }>> = {
  routine: { priority: "routine", pathway: null },
  emergency: { priority: "urgent", pathway: null },
  chest_pain: { priority: "stat", pathway: "chest_pain" },
  stroke: { priority: "stat", pathway: "stroke" },
};
const FIELDS = ["patient-name", "patient-id", "id-number", "birth-date", "body-part", "complaint", "question", "requesting-doctor"] as const;
const REQUIRED = ["patient-name", "patient-id", "complaint"] as const;

export interface OrderForm {
  focus: () => void;
  clear: () => void;
  /** What has been typed of an ECG's patient, for an upload. */
  patient: () => Record<string, string>;
}

/** `1957-08-19` from 19570819, 1957.8.19 or 1957/8/19; null for what is no day, or one to come. */
export function birthDate(text: string, today: string): string | null {
  const match = /^\s*(\d{4})[-./年]?(\d{1,2})[-./月]?(\d{1,2})日?\s*$/.exec(text);
  if (!match) return null;
  const [year = "", month = "", day = ""] = match.slice(1);
  const iso = `${year}-${month.padStart(2, "0")}-${day.padStart(2, "0")}`;
  const made = new Date(`${iso}T00:00:00Z`);
  const isDay = !Number.isNaN(made.getTime()) && made.toISOString().startsWith(iso);
  return isDay && iso <= today && Number(year) >= 1880 ? iso : null;
}

export function startOrderForm(registered: () => void): OrderForm {
  const form = byId<HTMLFormElement>("order-form");
  const sex = segment(byId("sex"), "value");
  const modality = segment(byId("modality"), "value", showParts);
  const urgency = segment(byId("priority"), "value", () => showHint());
  const complaint = field("complaint");
  modality.set("DR");
  showParts("DR");

  function showParts(value: string): void {
    showNames();
    fill(byId("body-part"), ...(PARTS[value] ?? []).map((part) => h("option", { value: part }, t(`ui.tech.part.${part}`))));
  }

  function showNames(): void {
    void showDeviceNames(text("patient-name"), modality.value).catch(() => undefined); // it only informs
  }

  /** A suggestion stands there until somebody takes it; it never sets anything by itself. */
  function showHint(): void {
    const place = byId("triage-hint");
    const found = hint(complaint.value);
    place.hidden = !found || urgency.value === found.pathway;
    if (!found) return;
    fill(place.querySelector("span") as Element, t("page.tech.hint", { words: found.words, lane: t(`ui.lane.${found.pathway}`) }));
    place.querySelector("svg.i")?.replaceWith(icon(found.pathway === "stroke" ? "stroke" : "heart"));
    place.dataset["pathway"] = found.pathway;
  }

  function clear(): void {
    const doctor = field("requesting-doctor").value; // the same doctor sends the next patient too
    form.reset();
    field("requesting-doctor").value = doctor;
    sex.set("");
    urgency.set("routine");
    for (const id of FIELDS) mark(id, "");
    byId("order-error").hidden = true;
    showHint();
    showNames();
  }

  async function submit(): Promise<void> {
    const button = byId<HTMLButtonElement>("order-submit");
    if (button.disabled || !check()) return;
    busy(button, true);
    try {
      const body = order();
      const made = await server.post<{ accession_number: string }>("/api/orders", body);
      showResult(body.patient.name, made.accession_number);
      clear();
      field("patient-name").focus();
      registered();
    } catch (error) {
      showError(error);
    } finally {
      busy(button, false);
    }
  }

  function order() {
    const { priority, pathway } = URGENCY[urgency.value] ?? { priority: "routine", pathway: null };
    return {
      site: me().site,
      patient: { name: text("patient-name"), patient_id: text("patient-id"), sex: sex.value || null, birth_date: birth(), id_number: text("id-number") || null },
      modality: modality.value,
      body_part: modality.value === "ECG" ? "" : byId<HTMLSelectElement>("body-part").value.toUpperCase(),
      complaint: text("complaint"), question: text("question"), priority, pathway, requesting_doctor: text("requesting-doctor"),
    };
  }

  complaint.addEventListener("input", showHint);
  field("patient-name").addEventListener("change", showNames);
  byId("triage-hint").querySelector("button")?.addEventListener("click", () => {
    urgency.set(byId("triage-hint").dataset["pathway"] ?? "routine");
    showHint();
    urgency.root.querySelector<HTMLElement>('[aria-pressed="true"]')?.focus();
  });
  field("birth-date").addEventListener("change", () => {
    const day = birth();
    if (day) field("birth-date").value = day;
    mark("birth-date", field("birth-date").value && !day ? t("ui.tech.date_wrong") : "");
  });
  form.addEventListener("reset", (event) => {
    if (event.isTrusted) setTimeout(() => { clear(); field("patient-name").focus(); });
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void submit();
  });
  form.addEventListener("keydown", (event) => goOn(event, form));
  addEventListener("keydown", (event) => {
    if (event.code !== "F9" || event.isComposing || byId("dialogs").children.length > 0) return;
    event.preventDefault();
    void submit();
  });
  for (const id of REQUIRED) field(id).addEventListener("input", () => field(id).value.trim() && mark(id, ""));
  return {
    focus: () => field("patient-name").focus(),
    clear,
    patient: () => ({ patient_name: text("patient-name"), patient_id: text("patient-id"), sex: sex.value, birth_date: birth() ?? "", complaint: text("complaint"), question: text("question"), requesting_doctor: text("requesting-doctor"), urgency: urgency.value }),
  };
}

/** Enter in a one-line field goes to the next one, as clerks type; in the last it registers. */
function goOn(event: KeyboardEvent, form: HTMLFormElement): void {
  const target = event.target as HTMLElement;
  if (event.key !== "Enter" || event.isComposing || event.shiftKey) return;
  if (event.ctrlKey) {
    event.preventDefault();
    return form.requestSubmit();
  }
  if (target instanceof HTMLTextAreaElement || target.matches("[type=submit], [type=reset], .triage-hint button")) return;
  event.preventDefault();
  const stops = [...form.querySelectorAll<HTMLElement>("input, select, textarea, .seg button[tabindex='0'], [type=submit]")];
  stops[stops.indexOf(target) + 1]?.focus();
}

function field(id: string): HTMLInputElement {
  return byId<HTMLInputElement>(id);
}

function text(id: string): string {
  return field(id).value.trim();
}

function birth(): string | null {
  return birthDate(field("birth-date").value, fullDate(serverNow()));
}

function mark(id: string, error: string): void {
  const input = field(id);
  if (error) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
  const place = input.closest(".field")?.querySelector(".field-error");
  if (!error) return place?.remove();
  if (place) fill(place, error);
  else input.closest(".field")?.append(h("p", { class: "field-error" }, error));
}

function check(): boolean {
  for (const id of REQUIRED) mark(id, text(id) ? "" : t("ui.tech.required"));
  mark("birth-date", birth() ? "" : t(text("birth-date") ? "ui.tech.date_wrong" : "ui.tech.required"));
  const first = document.querySelector<HTMLElement>('#order-form [aria-invalid="true"]');
  first?.focus();
  return !first;
}

function showError(error: unknown): void {
  const place = byId("order-error");
  const named = error instanceof ApiError ? String(error.details["field"] ?? "") : "";
  const id = { "patient.name": "patient-name", "patient.patient_id": "patient-id", "patient.birth_date": "birth-date", "patient.id_number": "id-number", complaint: "complaint" }[named];
  if (id) mark(id, words(error));
  fill(place, t("page.tech.order_failed"), " ", words(error));
  place.hidden = false;
}

/** The number the device needs stays on screen until the next request. */
function showResult(name: string, accession: string): void {
  const place = byId("order-result");
  fill(place, icon("check"), h("div", { class: "grow" },
    h("p", {}, t("page.tech.type_number", { name })),
    h("output", { class: "accession", id: "accession-number" }, accession)),
    h("button", { class: "btn small", type: "button", onclick: () => void copy(accession) }, icon("copy", 14), t("page.tech.copy")));
  place.hidden = false;
}

/** Without TLS a browser has no clipboard for pages: then the number is selected, and a person copies it. */
async function copy(accession: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(accession);
    toast({ kind: "success", title: t("page.tech.copied") });
  } catch {
    getSelection()?.selectAllChildren(byId("accession-number"));
    toast({ kind: "info", title: t("page.tech.copy_failed") });
  }
}

function busy(button: HTMLButtonElement, isBusy: boolean): void {
  button.disabled = isBusy;
  button.ariaBusy = isBusy ? "true" : null;
}
