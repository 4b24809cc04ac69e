/** The way to a signature: saved, checked, shown, signed; every refusal leads to what mends it. */
import { t } from "../i18n.ts";
import { ApiError } from "../server.ts";
import { byId } from "../ui/h.ts";
import { toast, words } from "../ui/toast.ts";
import type { Detail } from "./detail.ts";
import { editor, SECTIONS, type Section, sectionError } from "./read_panel.ts";
import type { Reading } from "./read.ts";
import { askSignature, prepare, type SignKind } from "./read_sign.ts";

export class Signing {
  #isRunning = false;

  constructor(private readonly reading: Reading) {}

  async start(kind: SignKind): Promise<void> {
    const { detail, standing } = this.reading;
    if (this.#isRunning || !detail || !standing) return;
    if (!(kind === "verify" ? standing.mayVerify : standing.maySign)) return this.reading.refuse();
    if (!this.#isFit(detail, kind)) return;
    this.#isRunning = true;
    byId("sign").setAttribute("aria-busy", "true");
    try {
      await this.#run(detail, kind);
    } catch (error) {
      await this.#refused(error);
    } finally {
      this.#isRunning = false;
      byId("sign").removeAttribute("aria-busy");
    }
  }

  /** What the server would refuse is said at once, at its place. */
  #isFit(detail: Detail, kind: SignKind): boolean {
    if (kind === "verify") return this.#hasSeenConflicts(detail);
    const { panel } = this.reading;
    for (const section of SECTIONS) sectionError(section, "");
    const empty = SECTIONS.find((section) => !panel.text(section).trim());
    if (empty) {
      sectionError(empty, t("ui.report.check.empty", { section: document.querySelector(`label[for="${empty}"] > span`)?.textContent ?? "" }));
      editor(empty).focus();
      return false;
    }
    if (kind === "final" && detail.input_readiness !== "READY") {
      toast({ kind: "warning", title: t("ui.report.check.not_ready"), action: { words: t("ui.report.preliminary"), key: "F10", run: () => void this.start("preliminary") } });
      return false;
    }
    return this.#hasSeenConflicts(detail);
  }

  #hasSeenConflicts(detail: Detail): boolean {
    if (detail.conflicts.every((one) => one.seen)) return true;
    void this.reading.seeConflicts();
    return false;
  }

  async #run(detail: Detail, kind: SignKind): Promise<void> {
    const { draft } = this.reading.panel;
    if (kind !== "verify" && !(await this.reading.saved(draft?.saveFirst()))) return;
    const version = kind === "verify" ? (detail.report?.version ?? 0) : (draft?.version ?? 0);
    const prepared = await prepare(detail, version, kind);
    await this.reading.load();
    const fresh = this.reading.detail ?? detail;
    const signed = await askSignature(fresh, prepared, kind, fresh.report?.n_signatures_required || 1);
    if (!signed) return;
    if (kind !== "preliminary") return this.reading.goOn(true);
    toast({ kind: "success", title: t("page.reader.preliminary_done", { name: detail.patient.name }), text: t("page.reader.preliminary_next") });
    await this.reading.load();
  }

  async #refused(error: unknown): Promise<void> {
    const field = error instanceof ApiError ? String(error.details["section"] ?? error.details["field"] ?? "") : "";
    // The paper names a section by its heading, the draft by its code.
    const part = this.reading.panel.template?.sections.find((one) => one.code === field || Object.values(one.label).includes(field));
    const section = SECTIONS.find((one) => one === part?.code);
    if (error instanceof ApiError && error.code === "study_conflict") {
      await this.reading.load();
      return this.reading.seeConflicts();
    }
    if (section) this.#point(section, words(error));
    toast({ kind: "error", title: t("ui.report.signing_failed"), text: words(error) });
    if (error instanceof ApiError && ["stale_version", "study_not_ready", "not_claimed", "already_claimed", "workitem_ended"].includes(error.code)) await this.reading.load();
  }

  #point(section: Section, message: string): void {
    sectionError(section, message);
    editor(section).focus();
  }
}
