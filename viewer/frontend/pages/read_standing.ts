/** What this person may do with this workitem now, and the signature row that shows it. */
import { t } from "../i18n.ts";
import { byId, fill } from "../ui/h.ts";
import type { Me } from "../ui/item.ts";
import { isBarred, isQualified } from "../ui/row.ts";
import type { Detail } from "./detail.ts";
import { isOpen, mayTake, mayTakeOver } from "./worklist_order.ts";

export interface Standing {
  step: Detail["step"];
  isOpen: boolean;
  isMine: boolean;
  mayClaim: boolean;
  mayTakeOver: boolean;
  mayWrite: boolean;
  maySign: boolean;
  mayVerify: boolean;
  mayPreliminary: boolean;
}

export function standingOf(detail: Detail, person: Me): Standing {
  const open = isOpen(detail);
  const isMine = open && detail.claimed_by_id === person.accountId;
  const isVerification = detail.step === "verification";
  const maySign = isMine && !isVerification && person.role !== "trainee";
  return {
    step: detail.step, isOpen: open, isMine,
    mayClaim: open && !isMine && mayTake(detail, person),
    mayTakeOver: mayTakeOver(detail, person),
    mayWrite: isMine && !isVerification,
    maySign,
    mayVerify: isMine && isVerification && person.role === "reviewer",
    // A preliminary report is for a study that is not yet complete; a complete one is signed.
    mayPreliminary: maySign && detail.step === "interpretation" && detail.input_readiness !== "READY",
  };
}

export function nSignatures(detail: Detail): number {
  return detail.report?.n_signatures_required || 1;
}

export function showStanding(detail: Detail, standing: Standing, person: Me): void {
  const { isMine, mayClaim, maySign, mayVerify, mayPreliminary } = standing;
  byId("claim").hidden = !mayClaim;
  byId("take-over").hidden = !standing.mayTakeOver;
  byId("sign").hidden = !(maySign || mayVerify);
  const preliminary = byId<HTMLButtonElement>("preliminary");
  preliminary.hidden = preliminary.disabled = !mayPreliminary;
  byId<HTMLButtonElement>("sign").disabled = maySign && detail.input_readiness !== "READY";
  byId("return-report").hidden = !mayVerify;
  byId("more-actions").hidden = !isMine;
  fill(byId("sign-words"), mayVerify ? t("ui.report.verify") : nSignatures(detail) > 1 ? t("ui.report.submit") : t("ui.report.sign"));
  fill(byId("signer-words"), signer(detail, standing, person));
  fill(byId("signer-initial"), (detail.report?.signed_at ? detail.report.author : person.name).slice(0, 1));
  fill(byId("sign-note"), noteOf(detail, standing, person));
  const returned = detail.report?.returned_reason;
  byId("report-returned").hidden = !returned;
  fill(byId("report-returned-reason"), returned ?? "");
  byId("sign-actions").hidden = !mayClaim && !isMine && !standing.mayTakeOver;
}

function signer(detail: Detail, { step, isOpen: open, isMine }: Standing, person: Me): string {
  if (step === "verification") return t("page.reader.author_reviewer", { author: detail.report?.author ?? "", reviewer: detail.report?.verifier ?? (isMine ? person.name : "—") });
  if (!open && detail.report) return t("page.reader.reported_by", { name: [detail.report.author, detail.report.verifier].filter(Boolean).join(" / ") });
  return isMine ? `${t("ui.report.reporting")} ${person.name}` : detail.claimed_by ? t("ui.read.claimed_by", { name: detail.claimed_by }) : t("ui.read.unclaimed");
}

/** Why this person may not write or sign here, or what a signature takes. */
export function noteOf(detail: Detail, standing: Standing, person: Me): string {
  if (standing.mayClaim) return t("page.reader.read_only");
  if (standing.isOpen && !isQualified(detail, person)) return t("page.reader.not_qualified");
  if (isBarred(detail, person)) return t("page.reader.why_own");
  if (!standing.isMine) return standing.isOpen && detail.claimed_by ? t("page.reader.held_note", { name: detail.claimed_by }) : "";
  if (person.role === "trainee") return t("page.reader.trainee_note");
  if (detail.input_readiness !== "READY") return t("ui.read.receiving");
  const n = nSignatures(detail);
  if (standing.mayVerify) return t("page.reader.verify_note");
  return n > 1 ? t("ui.report.note_many", { n }) : t("ui.report.note_one");
}
