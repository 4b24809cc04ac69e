/** 阅片: pictures at once, the report beside them, the signature; and what happens to the study meanwhile. */
import { t } from "../i18n.ts";
import { server } from "../server.ts";
import { askReason, field, openDialog } from "../ui/dialog.ts";
import { moment } from "../ui/format.ts";
import { byId, h } from "../ui/h.ts";
import { me, type WorklistItem } from "../ui/item.ts";
import type { LiveMessage } from "../ui/live.ts";
import { OneAtATime } from "../ui/one_at_a_time.ts";
import { startShell } from "../ui/shell.ts";
import { failToast, toast, words } from "../ui/toast.ts";
import { afterSignature } from "./after_signature.ts";
import type { Detail, Prior } from "./detail.ts";
import { showKeys } from "./key_table.ts";
import { noticesOf, showBanner, showFollowing, showNotices } from "./read_banner.ts";
import { showMeasures } from "./read_cards.ts";
import { checksOf, showChecks } from "./read_checks.ts";
import { EcgStage } from "./read_ecg.ts";
import { Images } from "./read_images.ts";
import { loadItems } from "./items.ts";
import { bindReadKeys } from "./read_keys.ts";
import { openMenu } from "./read_menu.ts";
import { editor, ReportPanel } from "./read_panel.ts";
import { connectTabs, quotedPrior, showOrder, showPriors, showQuote, showReturn } from "./read_panes.ts";
import { noteOf, type Standing, standingOf, showStanding } from "./read_standing.ts";
import { showStatus } from "./read_status.ts";
import { Signing } from "./read_signing.ts";
import { askReassign, askRelease, askRetake, askTakeOver, claim, claimNext, MOST_OPEN, OPEN, readingPath } from "./work_actions.ts";
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
  readonly #loader = new OneAtATime(() => this.#load());
  #first: Promise<void> | null = null;
  #unsaved: () => unknown = () => undefined;
  #isGivingUp = false;
  #reload: ReturnType<typeof setTimeout> | undefined;
  #following: ReturnType<typeof setTimeout> | undefined;

  start(): void {
    byId("read").dataset["kind"] = this.kind === "ecg" ? "ecg" : (document.body.dataset["modality"] ?? "").toLowerCase();
    void (this.images?.load() ?? this.ecg?.load());
    this.#first = this.load();
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

  load(): Promise<void> {
    return this.#loader.ask();
  }

  /** What is pressed before the page knows its work waits for it; a failure stands in the notices, with its button. */
  async #known(): Promise<Detail | null> {
    await this.#first; // with the templates, without which nothing is saved
    if (!this.detail) await this.load();
    return this.detail;
  }

  /** Says why what was pressed is not done: in the words that stand under the buttons, where there are any. */
  refuse(title = ""): void {
    const { detail, standing, person } = this;
    const note = detail && standing && (!standing.isMine || person.role === "trainee") ? noteOf(detail, standing, person) : "";
    toast({ kind: "info", title: title || note || t("page.reader.not_offered") });
  }

  async #load(): Promise<void> {
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
    if (this.images) showMeasures(this.images.marks.list, this.images.marks.active, (mark) => this.insert(asText(mark.text)));
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
    const items = await loadItems(OPEN, MOST_OPEN).catch((): WorklistItem[] => []); // not asked for: looked again at the next event
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

  /** True when what is typed is on the server; where it cannot be brought there, that is said, and the page stays. */
  async saved(saving: Promise<boolean> | undefined = this.panel.draft?.save()): Promise<boolean> {
    const isSaved = (await saving) ?? true;
    this.#unsaved();
    if (!isSaved) this.#unsaved = failToast(t("ui.report.save_failed"), this.panel.draft?.error);
    return isSaved;
  }

  async sign(): Promise<void> {
    if (await this.#known()) await this.signing.start(this.standing?.step === "verification" ? "verify" : "final");
  }

  async preliminary(): Promise<void> {
    const detail = await this.#known();
    if (this.standing?.mayPreliminary) return this.signing.start("preliminary");
    if (detail) this.refuse(this.standing?.maySign && detail.input_readiness === "READY" ? t("page.reader.preliminary_complete") : "");
  }

  async returnReport(): Promise<void> {
    const detail = await this.#known();
    if (!detail) return;
    if (!this.standing?.mayVerify) return this.refuse();
    const { uid } = this;
    const isDone = await askReason({
      title: t("ui.report.return"), consequence: t("page.reader.return_consequence", { name: detail.report?.author ?? "" }),
      words: t("ui.report.return"), label: t("ui.report.return_reason"), maxLength: 500,
      run: async (reason) => void (await server.post(`/api/workitems/${uid}/report/return`, { reason })),
    });
    if (isDone) await this.goOn(false);
  }

  release(): Promise<void> {
    return this.#giveUp(askRelease);
  }

  retake(): Promise<void> {
    return this.#giveUp(askRetake);
  }

  reassign(): Promise<void> {
    return this.#giveUp((detail) => askReassign(detail, this.person));
  }

  /** Saved first, which may take a moment: who presses again meanwhile is asked once. */
  async #giveUp(ask: (detail: Detail) => Promise<unknown>): Promise<void> {
    if (this.#isGivingUp) return;
    this.#isGivingUp = true;
    try {
      const detail = await this.#known();
      if (detail && (await this.saved()) && (await ask(detail))) location.assign("/");
    } finally {
      this.#isGivingUp = false;
    }
  }

  async takeOver(): Promise<void> {
    const detail = await this.#known();
    if (!detail) return;
    if (!this.standing?.mayTakeOver) return this.refuse();
    const successor = await askTakeOver(detail);
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
    if (!detail || !this.standing?.isMine) return this.refuse();
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
    if (!(await this.saved())) return;
    try {
      const next = await claimNext(this.person, this.uid);
      if (next) location.assign(readingPath(next.workitem_uid));
      else this.refuse(t("ui.worklist.next.none"));
    } catch (error) {
      failToast(t("page.reader.claim_failed"), error);
    }
  }

  async toList(): Promise<void> {
    if (await this.saved()) location.assign("/");
  }

  takePrior(prior: Prior | null = this.detail && quotedPrior(this.detail)): void {
    const text = prior?.report?.sections["findings"];
    if (!text) return this.refuse(t("page.reader.no_prior_text"));
    this.panel.lastEditor = editor("findings");
    this.insert(text);
  }

  insert(text: string): void {
    if (!this.panel.insert(text)) this.refuse();
  }

  insertNormal(): void {
    if (this.panel.isWritable) void this.panel.insertNormal();
    else this.refuse();
  }

  insertMeasurement(): void {
    const marks = this.images?.marks;
    const mark = marks?.list.find((one) => one.id === marks.active) ?? marks?.list.at(-1);
    if (mark) this.insert(asText(mark.text));
    else if (this.images) this.refuse(t("page.reader.no_measurement"));
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
