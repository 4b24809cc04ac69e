/** What speaks for the completeness of an examination, which images are missing, and its dose, in words. */
import { t } from "../i18n.ts";
import type { Detail, Dose } from "./detail.ts";

const SHOWN_UIDS = 2;
const DOSES = ["CTDIvol", "DLP", "ImageAndFluoroscopyAreaDoseProduct", "EntranceDoseInmGy", "Exposure"];
const SHORT: Readonly<Record<string, string>> = { ImageAndFluoroscopyAreaDoseProduct: "DAP", EntranceDoseInmGy: "ESAK", Exposure: "" };

/** Why the study counts as complete; nothing while it does not. */
export function evidenceWords(detail: Detail): string {
  const found = detail.study.ready_evidence;
  if (detail.input_readiness !== "READY" || !found?.kind) return "";
  const words = t(`ui.evidence.${found.kind}`, {
    n: found.n_instances, listed: found.n_listed, seconds: found.quiet_time_s, missing: found.n_missing,
    name: found.released_by ?? "", reason: found.reason ?? "",
  });
  const stopped = (found.steps ?? []).find((step) => step.state === "DISCONTINUED");
  return stopped ? [t("ui.evidence.discontinued"), stopped.reason, words].filter(Boolean).join(" · ") : words;
}

/** Which of the listed images have not come: by series where it is here, and by the end of their UIDs. */
export function missingWords(detail: Detail): string {
  const missing = detail.input_readiness === "READY" ? [] : detail.study.ready_evidence?.missing ?? [];
  const bySeries = new Map<string, string[]>();
  for (const one of missing) {
    const name = one.series_number === null ? t("ui.evidence.new_series") : t("ui.evidence.series", { n: one.series_number });
    bySeries.set(name, [...(bySeries.get(name) ?? []), one.sop_instance_uid]);
  }
  return [...bySeries].map(([name, uids]) => {
    const shown = uids.slice(0, SHOWN_UIDS).map((uid) => `…${uid.slice(-8)}`).join(" ");
    return t("ui.evidence.missing_in", { series: name, n: uids.length, uids: uids.length > SHOWN_UIDS ? `${shown} …` : shown });
  }).join(" · ");
}

/** CTDIvol 41.5 mGy · DLP 845.7 mGy·cm: the whole step where it says so, else its highest exposure. */
export function doseWords(study: { dose?: Dose[] }): string {
  return DOSES.flatMap((quantity) => {
    const found = (study.dose ?? []).filter((one) => one.quantity === quantity && one.value !== null);
    if (found.length === 0) return [];
    const value = found.find((one) => one.event === 0)?.value ?? Math.max(...found.map((one) => one.value ?? 0));
    return [[SHORT[quantity] ?? quantity, Number(value.toPrecision(5)), found[0]?.unit].filter((part) => part !== "").join(" ")];
  }).join(" · ");
}
