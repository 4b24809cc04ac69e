/** What list and reading page do with a workitem: claim, release, give to another. */
import { t } from "../i18n.ts";
import { ApiError, server } from "../server.ts";
import { askReason, field, openDialog } from "../ui/dialog.ts";
import { exam, siteName, time } from "../ui/format.ts";
import { h } from "../ui/h.ts";
import type { Me, WorklistItem } from "../ui/item.ts";
import { failToast } from "../ui/toast.ts";
import { loadItems } from "./items.ts";
import { queue } from "./worklist_order.ts";

/** What is still to be done, and how much of it is looked at to find what comes next. */
export const OPEN = { state: "SCHEDULED,IN PROGRESS" };
export const MOST_OPEN = 500;

export function readingPath(uid: string, after = ""): string {
  return `/read/${encodeURIComponent(uid)}${after ? `#signed=${encodeURIComponent(after)}` : ""}`;
}

export function claim(uid: string): Promise<unknown> {
  return server.post(`/api/workitems/${encodeURIComponent(uid)}/claim`);
}

/** Claims the most urgent examination that nobody else was quicker to take; null when nothing waits. */
export async function claimNext(person: Me, except = ""): Promise<WorklistItem | null> {
  const items = await loadItems(OPEN, MOST_OPEN);
  for (const item of queue(items, person, except)) {
    try {
      await claim(item.workitem_uid);
      return item;
    } catch (error) {
      if (!(error instanceof ApiError) || ![403, 404, 409].includes(error.status)) throw error;
    }
  }
  return null;
}

export function askRelease(item: WorklistItem): Promise<boolean> {
  return askReason({
    title: t("ui.report.release"),
    consequence: t("page.reader.release_consequence", { name: item.patient.name, exam: exam(item) }),
    words: t("ui.report.release"),
    label: t("ui.report.release_reason"),
    run: async (reason) => void (await server.post(`/api/workitems/${item.workitem_uid}/release`, { reason })),
  });
}

const RETAKE_CATEGORIES = ["positioning", "exposure", "motion", "wrong_patient", "incomplete", "other"] as const;

export function askRetake(item: WorklistItem): Promise<boolean> {
  const category = h("select", { class: "select", name: "category", autofocus: true },
    ...RETAKE_CATEGORIES.map((one) => h("option", { value: one }, t(`ui.retake.${one}`))));
  const reason = h("textarea", { class: "textarea", name: "reason", rows: 3, maxlength: 256 });
  return openDialog({
    title: t("ui.report.retake"),
    consequence: t("ui.report.retake_consequence", { name: item.patient.name, exam: exam(item) }),
    body: [field(t("ui.report.retake_category"), category, true), field(t("ui.report.retake_reason"), reason)],
    primary: {
      words: t("ui.report.retake"),
      run: async (fields) => {
        const [chosen, why] = [String(fields.get("category")), String(fields.get("reason") ?? "").trim()];
        if (chosen === "other" && !why) throw new Error(t("ui.dialog.reason_missing"));
        await server.post(`/api/workitems/${item.workitem_uid}/retake`, { category: chosen, reason: why });
      },
    },
  }).done;
}

/** Takes over what its holder left lying; the successor's UID, or "" when somebody went back. */
export async function askTakeOver(item: WorklistItem): Promise<string> {
  let successor = "";
  await askReason({
    title: `${t("ui.worklist.take_over")} · ${item.patient.name} ${exam(item)}`,
    consequence: t("page.reader.take_over_consequence", { name: item.claimed_by ?? "" }),
    words: t("ui.worklist.take_over"),
    run: async (reason) => {
      try {
        successor = (await server.post<{ replaced_by: string }>(`/api/workitems/${item.workitem_uid}/takeover`, { reason })).replaced_by;
      } catch (error) {
        throw tooEarly(error);
      }
    },
  });
  return successor;
}

/** Whoever holds it is at it: who, and from when it counts as left lying. */
function tooEarly(error: unknown): unknown {
  const { holder, take_over_at: at } = error instanceof ApiError ? error.details : {};
  return holder && at ? new Error(t("page.reader.take_over_early", { holder: String(holder), time: time(String(at)) })) : error;
}

interface Readers {
  readers: { username: string; name: string; name_en: string; role: string }[];
}

export async function askReassign(item: WorklistItem, person: Me): Promise<boolean> {
  const { readers } = await server.get<Readers>(`/api/readers?kind=${item.kind}&step=${item.step}`).catch((error: unknown) => {
    failToast(t("ui.worklist.reassign"), error);
    return { readers: null };
  });
  if (!readers) return false;
  const others = readers.filter((reader) => reader.username !== person.username);
  const to = h("select", { class: "select", name: "to", autofocus: true },
    ...others.map((one) => h("option", { value: one.username }, `${siteName(one)} · ${t(`ui.role.${one.role}`)}`)));
  const reason = h("textarea", { class: "textarea", name: "reason", rows: 3, maxlength: 256 });
  return openDialog({
    title: `${t("ui.worklist.reassign")} · ${item.patient.name} ${exam(item)}`,
    icon: "users",
    consequence: others.length ? t("ui.worklist.reassign.consequence") : t("page.reader.no_readers"),
    body: others.length ? [field(t("ui.worklist.reassign.to"), to, true), field(t("ui.dialog.reason"), reason, true)] : [],
    primary: others.length ? {
      words: t("ui.worklist.reassign"),
      run: async (fields) => {
        const why = String(fields.get("reason") ?? "").trim();
        if (!why) throw new Error(t("ui.dialog.reason_missing"));
        await server.post(`/api/workitems/${item.workitem_uid}/reassign`, { to: String(fields.get("to")), reason: why });
      },
    } : undefined,
  }).done;
}
