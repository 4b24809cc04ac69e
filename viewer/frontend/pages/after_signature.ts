/** After a signature the next page says what was done: the address carries only the workitem's UID. */
import { t } from "../i18n.ts";
import { server } from "../server.ts";
import { exam } from "../ui/format.ts";
import { toast } from "../ui/toast.ts";
import type { Delivery, Detail } from "./detail.ts";
import { readingPath } from "./work_actions.ts";

export async function afterSignature(): Promise<void> {
  const uid = new URLSearchParams(location.hash.slice(1)).get("signed");
  if (!uid) return;
  history.replaceState(null, "", location.pathname);
  try {
    const signed = await server.get<Detail>(`/api/workitems/${encodeURIComponent(uid)}`);
    const values = { name: signed.patient.name, exam: exam(signed) };
    const isSubmitted = signed.status === "to_verify";
    const text = isSubmitted ? t("page.reader.waits_for_second") : await returning(signed);
    toast({ kind: "success", title: t(isSubmitted ? "ui.report.submitted_toast" : "ui.report.signed_toast", values), text, action: { words: t("page.reader.look"), run: () => location.assign(readingPath(uid)) } });
  } catch {
    // The report is signed either way; only the notice is missing.
  }
}

async function returning(signed: Detail): Promise<string> {
  if (!signed.report_uid) return "";
  const { deliveries } = await server.get<{ deliveries: Delivery[] }>(`/api/reports/${signed.report_uid}/deliveries`);
  return t("page.reader.returning", { n: deliveries.length });
}
