/** 紧急调阅: one examination beyond one's own sight, found by site and accession number, with a reason for the audit. */
import { t } from "../i18n.ts";
import { ApiError, server } from "../server.ts";
import { field, openDialog } from "./dialog.ts";
import { siteName } from "./format.ts";
import { h } from "./h.ts";
import { me } from "./item.ts";
import { failToast } from "./toast.ts";

interface Opened {
  expires_at: string;
  study_instance_uid: string;
  workitem_uid: string | null;
}

interface Site {
  code: string;
  name: string;
  name_en: string;
}

const SHORTEST_REASON = 4;

export function connectBreakGlass(): void {
  document.getElementById("break-glass")?.addEventListener("click", () => {
    document.getElementById("user-menu")?.removeAttribute("open");
    void askBreakGlass();
  });
}

async function askBreakGlass(): Promise<void> {
  try {
    const { sites } = await server.get<{ sites: Site[] }>("/api/sites");
    openBreakGlass(sites);
  } catch (error) {
    failToast(t("ui.break_glass"), error);
  }
}

function openBreakGlass(sites: Site[]): void {
  const site = h("select", { class: "select", name: "site", autofocus: true },
    h("option", { value: "" }, t("ui.break_glass.choose_site")),
    ...sites.map((one) => h("option", { value: one.code }, siteName(one))));
  const accession = h("input", { class: "input", name: "accession", maxlength: 64, autocomplete: "off", spellcheck: "false" });
  const reason = h("textarea", { class: "textarea", name: "reason", rows: 3, maxlength: 500 });
  openDialog({
    title: t("ui.break_glass"),
    icon: "key",
    consequence: t("ui.break_glass.consequence"),
    body: [field(t("ui.worklist.site"), site, true), field(t("ui.read.accession"), accession, true), field(t("ui.break_glass.reason"), reason, true)],
    primary: { words: t("ui.break_glass.open"), run: (fields) => open(fields) },
  });
}

async function open(fields: FormData): Promise<void> {
  const text = (name: string): string => String(fields.get(name) ?? "").trim();
  const body = { site: text("site"), accession_number: text("accession"), reason: text("reason") };
  if (!body.site || !body.accession_number) throw new Error(t("ui.break_glass.which"));
  if (body.reason.length < SHORTEST_REASON) throw new Error(t("ui.break_glass.reason_short", { n: SHORTEST_REASON }));
  try {
    const opened = await server.post<Opened>("/api/break-glass", body);
    await go(opened);
  } catch (error) {
    throw refusal(error);
  }
}

/** A doctor who reads sees the pictures; a clinician the report, or in the portal how far it is. */
async function go(opened: Opened): Promise<void> {
  if (!opened.workitem_uid) throw new Error(t("ui.break_glass.no_work"));
  const uid = encodeURIComponent(opened.workitem_uid);
  if (me().role !== "clinician") return location.assign(`/read/${uid}`);
  const { report } = await server.get<{ report: { report_uid: string } | null }>(`/api/workitems/${uid}`);
  if (report) return location.assign(`/reports/${encodeURIComponent(report.report_uid)}`);
  const isThere = location.pathname === "/portal";
  location.assign(`/portal#study=${encodeURIComponent(opened.study_instance_uid)}`);
  if (isThere) location.reload(); // only the part behind # has changed: nothing would load by itself
}

function refusal(error: unknown): unknown {
  return error instanceof ApiError && error.code === "not_found" ? new Error(t("ui.break_glass.not_found")) : error;
}
