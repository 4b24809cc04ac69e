/** What must hold before a signature, told while the report is written: fine, mind this, stops. */
import { t } from "../i18n.ts";
import { byId, fill, h, icon } from "../ui/h.ts";
import type { Detail } from "./detail.ts";
import { SECTIONS, type Section } from "./read_panel.ts";

export type CheckLevel = "ok" | "warn" | "stop";

export interface Check {
  code: string;
  level: CheckLevel;
  words: string;
  /** Where to go to mend it. */
  action?: { words: string; run: () => void };
}

export interface CheckInput {
  detail: Detail;
  texts: Readonly<Record<Section, string>>;
  labels: Readonly<Record<Section, string>>;
  /** Images of the pieces that were opened but are not yet lossless, and series nobody opened. */
  quality: { notLossless: number; unopened: number; failed: number } | null;
  seeConflicts: () => void;
  goTo: (section: Section) => void;
}

export function checksOf(input: CheckInput): Check[] {
  return [patient(input), ...sections(input), readiness(input), ...dangers(input), ...quality(input)];
}

function patient({ detail }: CheckInput): Check {
  if (detail.patient.name_is_doubtful) return { code: "name", level: "warn", words: t("page.reader.name_doubtful") };
  if (detail.suggested_order) return { code: "order", level: "warn", words: t("page.reader.check.suggested") };
  if (detail.order.made_from_object) return { code: "order", level: "warn", words: t("ui.report.check.no_order") };
  return { code: "order", level: "ok", words: t("ui.report.check.patient") };
}

function sections({ texts, labels, goTo }: CheckInput): Check[] {
  const empty = SECTIONS.filter((section) => !texts[section].trim());
  if (empty.length === 0) return [gaps(texts) ?? { code: "sections", level: "ok", words: t("ui.report.check.sections") }];
  return empty.map((section) => ({
    code: `empty_${section}`, level: "warn", words: t("ui.report.check.empty", { section: labels[section] }),
    action: { words: t("page.reader.go_there"), run: () => goTo(section) },
  }));
}

/** An ideographic space is a template's gap that nobody filled. */
function gaps(texts: Readonly<Record<Section, string>>): Check | null {
  const n = SECTIONS.reduce((sum, section) => sum + (texts[section].match(/\u3000+(?=\S)/g)?.length ?? 0), 0);
  return n > 0 ? { code: "gaps", level: "warn", words: t("page.reader.check.gaps", { n }) } : null;
}

function readiness({ detail }: CheckInput): Check {
  const isReady = detail.input_readiness === "READY";
  return { code: "ready", level: isReady ? "ok" : "stop", words: t(isReady ? "page.reader.check.ready" : "ui.report.check.not_ready", { n: detail.n_instances }) };
}

function dangers({ detail, seeConflicts }: CheckInput): Check[] {
  const made: Check[] = [];
  const unseen = detail.conflicts.filter((one) => !one.seen).length;
  if (unseen > 0) made.push({ code: "conflict", level: "stop", words: t("page.reader.check.conflict", { n: unseen }), action: { words: t("page.reader.conflict_see"), run: seeConflicts } });
  else if (detail.conflicts.length > 0) made.push({ code: "conflict", level: "warn", words: t("page.reader.check.conflict_seen", { n: detail.conflicts.length }) });
  if (detail.late_images_at) made.push({ code: "late", level: "warn", words: t("page.reader.check.late") });
  return made;
}

function quality({ quality: seen }: CheckInput): Check[] {
  if (!seen) return [];
  if (seen.failed > 0) return [{ code: "quality", level: "warn", words: t("page.reader.check.failed", { n: seen.failed }) }];
  if (seen.unopened > 0) return [{ code: "quality", level: "warn", words: t("page.reader.check.unopened", { n: seen.unopened }) }];
  if (seen.notLossless > 0) return [{ code: "quality", level: "warn", words: t("ui.report.check.not_lossless", { n: seen.notLossless }) }];
  return [{ code: "quality", level: "ok", words: t("ui.report.check.lossless") }];
}

const ICONS: Readonly<Record<CheckLevel, string>> = { ok: "check", warn: "alert", stop: "alert" };

export function showChecks(checks: Check[]): void {
  const list = byId("checks-list");
  const text = JSON.stringify(checks);
  if (list.dataset["shown"] === text) return;
  list.dataset["shown"] = text;
  fill(list, ...checks.map((check) => h("li", { class: check.level, "data-check": check.code }, icon(ICONS[check.level], 14),
    h("span", {}, check.words, check.action && " ", check.action && h("button", { class: "link", type: "button", onclick: check.action.run }, check.action.words)))));
  const n = checks.filter((check) => check.level !== "ok").length;
  const summary = byId("checks-summary");
  summary.className = n ? (checks.some((check) => check.level === "stop") ? "red" : "amber") : "green";
  fill(summary, n ? t("ui.report.checks_n", { n }) : t("ui.report.checks_ok"));
}
