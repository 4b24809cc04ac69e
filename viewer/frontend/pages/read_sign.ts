/** Signing: the document as it will be signed, its digest, the PIN; what is refused is said in the dialog. */
import { t } from "../i18n.ts";
import { ApiError, server } from "../server.ts";
import { type Dialog, field, openDialog } from "../ui/dialog.ts";
import { exam, sexAndAge, siteName } from "../ui/format.ts";
import { h } from "../ui/h.ts";
import type { Detail, Report } from "./detail.ts";

export type SignKind = "final" | "preliminary" | "verify";

interface Prepared {
  digest: string;
  report_uid: string;
  version: number;
  pdf: string;
}

export function prepare(detail: Detail, version: number, kind: SignKind): Promise<Prepared> {
  return server.post<Prepared>(`/api/workitems/${detail.workitem_uid}/report/prepare`, { version, preliminary: kind === "preliminary" });
}

/** Resolves with the signed report, or null when somebody went back. */
export async function askSignature(detail: Detail, prepared: Prepared, kind: SignKind, nSignatures: number): Promise<Report | null> {
  let signed: Report | null = null;
  const pin = h("input", { class: "input", name: "pin", type: "password", autocomplete: "off", maxlength: 128, autofocus: true, required: true });
  const reason = kind === "preliminary" ? h("textarea", { class: "textarea", name: "reason", rows: 3, maxlength: 256 }) : null;
  const dialog: Dialog = openDialog({
    title: `${title(kind, nSignatures)} · ${detail.patient.name} ${exam(detail)}`,
    icon: "pen",
    size: "document",
    body: [h("div", { class: "sign-body" },
      h("iframe", { src: `${prepared.pdf}#view=FitH&toolbar=0&navpanes=0`, title: t("page.reader.document_title", { name: detail.patient.name }), tabindex: "-1" }),
      h("div", { class: "sign-side" },
        h("p", { class: "consequence" }, t("ui.report.sign_consequence")),
        facts(detail, kind, nSignatures, prepared),
        reason && field(t("ui.report.preliminary_reason"), reason, true),
        field(t("ui.report.pin"), pin, true)))],
    primary: {
      words: title(kind, nSignatures),
      key: "Enter",
      run: async (fields) => {
        signed = await sign(detail, prepared, kind, fields).catch((error: unknown) => refuse(error, pin, dialog));
      },
    },
  });
  const isDone = await dialog.done;
  return isDone ? signed : null;
}

function title(kind: SignKind, nSignatures: number): string {
  if (kind === "preliminary") return t("page.reader.sign_preliminary");
  if (kind === "verify") return t("ui.report.verify");
  return nSignatures > 1 ? t("ui.report.submit") : t("ui.report.sign");
}

function facts(detail: Detail, kind: SignKind, nSignatures: number, prepared: Prepared): HTMLElement {
  const needed = kind === "preliminary" ? 1 : nSignatures;
  const rows: [string, Node | string][] = [
    [t("ui.read.patient"), `${detail.patient.name} ${sexAndAge(detail.patient)}`],
    [t("ui.read.patient_id"), detail.patient.patient_id ?? "—"],
    [t("ui.read.exam"), exam(detail)],
    [t("ui.read.site"), siteName(detail.originating_site)],
    [t("ui.read.accession"), detail.accession_number],
    [t("page.reader.signatures"), h("b", {}, t("page.reader.signatures_n", { n: needed }))],
    [t("ui.report.digest"), h("span", { class: "digest", id: "digest" }, prepared.digest.replace(/(.{8})/g, "$1 ").trim())],
  ];
  return h("dl", { class: "facts" }, ...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

async function sign(detail: Detail, prepared: Prepared, kind: SignKind, fields: FormData): Promise<Report> {
  const base = `/api/workitems/${detail.workitem_uid}/report`;
  const body = { pin: String(fields.get("pin") ?? ""), version: prepared.version, digest: prepared.digest };
  if (!body.pin) throw new Error(t("page.reader.pin_missing"));
  if (kind === "verify") return server.post<Report>(`${base}/verify`, body);
  if (kind === "final") return server.post<Report>(`${base}/submit`, body);
  const why = String(fields.get("reason") ?? "").trim();
  if (!why) throw new Error(t("ui.dialog.reason_missing"));
  return server.post<Report>(`${base}/submit`, { ...body, preliminary_reason: why });
}

/** Says what was refused; a PIN that was tried does not stay in the field. */
function refuse(error: unknown, pin: HTMLInputElement, dialog: Dialog): never {
  pin.value = "";
  if (error instanceof ApiError) {
    pin.setAttribute("aria-invalid", String(error.code === "wrong_pin"));
    // The try that locks is the last wrong one: no further one is left to warn of.
    const isLocked = error.code === "signing_locked" || (error.code === "wrong_pin" && error.details["remaining"] === 0);
    if (isLocked) {
      pin.disabled = true;
      throw new Error(t("signing.signing_locked"));
    }
    if (error.code === "digest_mismatch" || error.code === "stale_version") dialog.element.querySelector("iframe")?.classList.add("outdated");
  }
  throw error;
}
