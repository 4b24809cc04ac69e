/** 阅片: pictures at once, the report beside them, the signature; and what happens to the study meanwhile. */
import { t } from "../i18n.ts";
import { ApiError, server } from "../server.ts";
import { askReason, field, openDialog } from "../ui/dialog.ts";
import { moment } from "../ui/format.ts";
import { byId, h } from "../ui/h.ts";
import { me, type WorklistItem } from "../ui/item.ts";
import type { LiveMessage } from "../ui/live.ts";
import { startShell } from "../ui/shell.ts";
import { toast } from "../ui/toast.ts";
import { afterSignature } from "./after_signature.ts";
import type { Detail, Prior } from "./detail.ts";
import { showKeys } from "./key_table.ts";
import { noticesOf, showBanner, showFollowing, showNotices } from "./read_banner.ts";
import { showMeasures } from "./read_cards.ts";
import { checksOf, showChecks } from "./read_checks.ts";
import { EcgStage } from "./read_ecg.ts";
import { Images } from "./read_images.ts";
import { bindReadKeys } from "./read_keys.ts";
import { openMenu } from "./read_menu.ts";
import { editor, ReportPanel } from "./read_panel.ts";
import { connectTabs, quotedPrior, showOrder, showPriors, showQuote, showReturn } from "./read_panes.ts";
import { type Standing, standingOf, showStanding } from "./read_standing.ts";
import { showStatus } from "./read_status.ts";
import { Signing } from "./read_signing.ts";
import { askReassign, askRelease, askTakeOver, claim, claimNext, failToast, loadItems, readingPath, words } from "./work_actions.ts";
import { queue } from "./worklist_order.ts";

const FOLLOWING_AFTER_MS = 1500;
const RELOAD_AFTER_MS = 250;

export function startRead(): void {
  new Reading().start();
}

export class Reading {
  readonly person = me();
  readonly uid = document.body.dataset["workitem"] ?? "";
  readonly kind = document.body.dataset["kind"] ?? "image";
  readonly study = document.body.dataset["study"] ?? "";
  readonly images = this.kind === "image" ? new Images(this.study) : null;
  readonly ecg = this.kind === "ecg" ? new EcgStage(this.study) : null;
  readonly panel = new ReportPanel();
  readonly signing = new Signing(this);
  detail: Detail | null = null;
  #reload: ReturnType<typeof setTimeout> | undefined;
  #following: ReturnType<typeof setTimeout> | undefined;

  start(): void {
    byId("read").dataset["kind"] = this.kind === "ecg" ? "ecg" : (document.body.dataset["modality"] ?? "").toLowerCase();
    void (this.images?.load() ?? this.ecg?.load());
    void this.load();
    const { live } = startShell(() => void this.load());
    live.subscribe((message) => this.hear(message));
    this.#connect();
    showStatus(this);
    void afterSignature();
    this.#following = setTimeout(() => void this.lookAhead(), FOLLOWING_AFTER_MS);
  }

  get standing(): Standing | null {
    return this.detail && standingOf(this.detail, this.person);
  }

  #connect(): void {
    connectTabs();
    bindReadKeys(this);
    this.panel.onChange = () => this.check();
    if (this.images) this.images.onChange = () => this.check();
    const press = (id: string, act: () => unknown): void => byId(id).addEventListener("click", () => void act());
    press("sign", () => this.sign());
    press("preliminary", () => this.preliminary());
    press("return-report", () => this.returnReport());
    press("claim", () => this.claim());
    press("take-over", () => this.takeOver());
    press("more-actions", () => openMenu(this));
    press("following", () => this.openNext());
    press("show-keys", () => this.showKeys());
    press("prior-quote-take", () => this.takePrior());
    byId("back").addEventListener("click", (event) => {
      event.preventDefault();
      void this.toList();
    });
  }

  async load(): Promise<void> {
    try {
      this.detail = await server.get<Detail>(`/api/workitems/${encodeURIComponent(this.uid)}`);
    } catch (error) {
      if (!this.detail) showNotices([{ code: "failed", tone: "red", icon: "alert", title: t("page.reader.workitem_failed"), text: words(error), action: { words: t("ui.retry"), run: () => void this.load() } }]);
      return;
    }
    this.show(this.detail);
    if (this.panel.templates.length === 0) await this.panel.loadTemplates(this.detail).catch((error: unknown) => failToast(t("page.reader.templates_failed"), error));
    this.check();
  }

  show(detail: Detail): void {
    showBanner(detail, this.person);
    const standing = standingOf(detail, this.person);
    this.panel.show(detail);
    this.panel.setWritable(standing.mayWrite);
    showStanding(detail, standing, this.person);
    showNotices(noticesOf(detail, this.person, {
      claim: () => void this.claim(), seeConflicts: () => void this.seeConflicts(),
      openSuccessor: (uid) => location.assign(readingPath(uid)), dismiss: () => void this.dismiss(),
    }));
    showOrder(detail, () => void this.load());
    showPriors(detail, (prior) => this.takePrior(prior));
    showQuote(quotedPrior(detail), standing.mayWrite);
    void showReturn(detail).catch(() => undefined);
    void this.images?.showPriors(detail);
    this.ecg?.showPriors(detail);
    this.check();
  }

  check(): void {
    if (!this.detail) return;
    const label = (section: string): string => document.querySelector(`label[for="${section}"] > span`)?.textContent ?? section;
    showChecks(checksOf({
      detail: this.detail, texts: { findings: this.panel.text("findings"), impression: this.panel.text("impression") },
      labels: { findings: label("findings"), impression: label("impression") },
      quality: this.images ? this.images.quality() : null,
      seeConflicts: () => void this.seeConflicts(), goTo: (section) => editor(section).focus(),
    }));
    byId("checks").hidden = !this.standing?.isMine;
    if (this.images) showMeasures(this.images.measurements, this.images.active?.marks.active ?? null, (mark) => this.panel.insert(asText(mark.text)));
  }

  /** What happened to this study elsewhere. */
  hear(message: LiveMessage): void {
    clearTimeout(this.#following);
    this.#following = setTimeout(() => void this.lookAhead(), FOLLOWING_AFTER_MS);
    if (message["study_instance_uid"] !== this.study) return;
    if (["received", "progress", "derived", "ready", "late_images"].includes(message.kind)) void (this.images?.load() ?? this.ecg?.load());
    if (message.kind === "late_images") toast({ kind: "warning", title: t("page.reader.late_title"), text: t("page.reader.late_text", { at: moment(new Date()) }) });
    if (message.kind === "conflict") toast({ kind: "error", title: t("ui.worklist.conflict"), text: t("ui.worklist.preview.conflict") });
    clearTimeout(this.#reload);
    this.#reload = setTimeout(() => void this.load(), RELOAD_AFTER_MS);
  }

  /** Which examination would come next; nobody is asked to choose. */
  async lookAhead(): Promise<void> {
    const { items } = await loadItems({ state: "SCHEDULED,IN PROGRESS" }, 500).catch(() => ({ items: [] as WorklistItem[] }));
    const waiting = queue(items, this.person, this.uid);
    showFollowing(waiting[0] ?? null, waiting.length);
  }

  async claim(): Promise<void> {
    try {
      await claim(this.uid);
    } catch (error) {
      failToast(t("page.reader.claim_failed"), error);
    }
    await this.load();
  }

  save(): Promise<boolean> {
    return this.panel.draft?.save() ?? Promise.resolve(true);
  }

  sign(): Promise<void> {
    return this.signing.start(this.standing?.step === "verification" ? "verify" : "final");
  }

  async preliminary(): Promise<void> {
    if (this.standing?.mayPreliminary) await this.signing.start("preliminary");
  }

  async returnReport(): Promise<void> {
    if (!this.detail || !this.standing?.mayVerify) return;
    const { uid } = this;
    const isDone = await askReason({
      title: t("ui.report.return"), consequence: t("page.reader.return_consequence", { name: this.detail.report?.author ?? "" }),
      words: t("ui.report.return"), label: t("ui.report.return_reason"), maxLength: 500,
      run: async (reason) => void (await server.post(`/api/workitems/${uid}/report/return`, { reason })),
    });
    if (isDone) await this.goOn(false);
  }

  async release(): Promise<void> {
    if (!this.detail || !(await this.save())) return;
    if (await askRelease(this.detail)) location.assign("/");
  }

  async reassign(): Promise<void> {
    if (!this.detail || !(await this.save())) return;
    if (await askReassign(this.detail, this.person).catch((error: unknown) => (failToast(t("ui.worklist.reassign"), error), false))) location.assign("/");
  }

  async takeOver(): Promise<void> {
    if (!this.detail || !this.standing?.mayTakeOver) return;
    const successor = await askTakeOver(this.detail);
    if (successor) location.assign(readingPath(successor));
  }

  async dismiss(): Promise<void> {
    const { uid } = this;
    const isDone = await askReason({
      title: t("page.reader.dismiss"), consequence: t("page.reader.dismiss_consequence"), words: t("page.reader.dismiss"),
      run: async (reason) => void (await server.post(`/api/workitems/${uid}/dismiss`, { reason })),
    });
    if (isDone) await this.goOn(false);
  }

  async seeConflicts(): Promise<void> {
    const { detail } = this;
    if (!detail || !this.standing?.isMine) return;
    const list = detail.conflicts.map((one) => h("li", {}, h("b", { class: one.seen ? "" : "red" }, t(`quarantine.${one.reason}`)), h("span", { class: "tx2" }, ` ${one.source} · ${moment(one.received_at)}`)));
    const reason = h("textarea", { class: "textarea", name: "reason", rows: 3, maxlength: 256, autofocus: true });
    const isDone = await openDialog({
      title: t("page.reader.conflict_title"), icon: "alert", consequence: t("page.reader.conflict_consequence"),
      body: [h("ul", { class: "conflicts" }, ...list), field(t("ui.dialog.reason"), reason, true)],
      primary: {
        words: t("page.reader.conflict_seen"),
        run: async (fields) => {
          const why = String(fields.get("reason") ?? "").trim();
          if (!why) throw new Error(t("ui.dialog.reason_missing"));
          await server.post(`/api/workitems/${detail.workitem_uid}/conflicts/seen`, { reason: why });
        },
      },
    }).done;
    if (isDone) await this.load();
  }

  /** After a signature the next examination opens by itself; where nothing waits, the list. */
  async goOn(isSigned: boolean): Promise<void> {
    const after = isSigned ? this.uid : "";
    const next = await claimNext(this.person, this.uid).catch(() => null);
    location.assign(next ? readingPath(next.workitem_uid, after) : `/${after ? `#signed=${encodeURIComponent(after)}` : ""}`);
  }

  async openNext(): Promise<void> {
    if (!(await this.mayLeave())) return;
    const next = await claimNext(this.person, this.uid).catch((error: unknown) => (failToast(t("page.reader.claim_failed"), error), null));
    if (next) location.assign(readingPath(next.workitem_uid));
  }

  async toList(): Promise<void> {
    if (await this.mayLeave()) location.assign("/");
  }

  /** What is typed is saved before the page is left; where that fails, the page stays. */
  async mayLeave(): Promise<boolean> {
    if (!this.panel.draft?.isDirty || (await this.save())) return true;
    const { error } = this.panel.draft;
    toast({ kind: "error", title: t("ui.report.save_failed"), text: error instanceof ApiError ? words(error) : undefined });
    return false;
  }

  takePrior(prior: Prior | null = this.detail && quotedPrior(this.detail)): void {
    const text = prior?.report?.sections["findings"];
    if (!text || !this.panel.isWritable) return;
    this.panel.lastEditor = editor("findings");
    this.panel.insert(text);
  }

  insertNormal(): void {
    void this.panel.insertNormal();
  }

  insertMeasurement(): void {
    const marks = this.images?.active?.marks;
    const mark = marks?.list.find((one) => one.id === marks.active) ?? marks?.list.at(-1);
    if (mark) this.panel.insert(asText(mark.text));
  }

  nextLayout(): void {
    this.images?.nextLayout();
  }

  ecgKey(code: string, key: string): boolean {
    return this.ecg?.key(code, key) ?? false;
  }

  focusImage(): void {
    (this.images?.active?.root ?? byId("ecg-sheet")).focus();
  }

  showKeys(): void {
    showKeys(this.ecg ? "ecg" : "image");
  }
}

/** `35.2 mm 探测器平面` reads in a sentence as `35.2 mm（探测器平面）`. */
function asText(text: string): string {
  const [value = "", unit = "", ...origin] = text.replaceAll("\u00a0", " ").split(" ");
  return origin.length ? t("page.reader.measure_text", { value: `${value} ${unit}`, origin: origin.join(" ") }) : `${value} ${unit}`;
}
