/** 下一份: the only big button, with what comes next and why. */
import { t } from "../i18n.ts";
import { countdown } from "../ui/countdown.ts";
import { exam, modality, sexAndAge, siteName, time } from "../ui/format.ts";
import { byId, fill, h } from "../ui/h.ts";
import type { Me, WorklistItem } from "../ui/item.ts";
import { laneChip } from "../ui/row.ts";

export function showNext(queue: WorklistItem[], person: Me): void {
  const next = queue[0];
  byId<HTMLButtonElement>("next-button").disabled = !next;
  const what = byId("next-what");
  const left = byId("next-left");
  const text = JSON.stringify([next, queue.length]);
  if (what.dataset["shown"] === text) return;
  what.dataset["shown"] = text;
  if (!next) {
    fill(left);
    return fill(what, h("span", {}, t("ui.worklist.next.none")));
  }
  fill(what, laneChip(next.lane), h("b", {}, next.patient.name), h("span", {}, sexAndAge(next.patient)),
    h("span", { class: "tx1" }, `${modality(next.modality)} ${exam(next)}`), h("span", {}, siteName(next.originating_site)),
    h("span", { class: "why caption" }, nextReason(next, person)));
  fill(left, countdown(next, "bare"), h("span", { class: "caption" }, t("ui.worklist.next.count", { n: queue.length })));
}

/** `派给我 · 卒中通道内到期最早 15:03 · 影像齐备` */
export function nextReason(item: WorklistItem, person: Me): string {
  const parts = [
    item.claimed_by_id === person.accountId ? t("ui.status.mine") : item.assigned_to_id === person.accountId ? t("ui.status.assigned_to_me") : "",
    item.step === "verification" ? t("ui.step.word.verification") : "",
    t("page.reader.next_due", { lane: t(`ui.lane.${item.lane}`), time: time(item.due_at) }),
    t(item.input_readiness === "READY" ? "page.reader.next_complete" : "page.reader.next_arriving"),
  ];
  return parts.filter(Boolean).join(" · ");
}
