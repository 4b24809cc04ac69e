/** 阅片列表: what waits, in order of urgency, live; select, preview, claim. */
import { t } from "../i18n.ts";
import { ApiError } from "../server.ts";
import { serverNow } from "../ui/clock.ts";
import { timeWithSeconds } from "../ui/format.ts";
import { byId, fill, h, icon } from "../ui/h.ts";
import { type WorklistItem, me } from "../ui/item.ts";
import type { LiveMessage } from "../ui/live.ts";
import { OneAtATime } from "../ui/one_at_a_time.ts";
import { isHeldByAnother, isQualified } from "../ui/row.ts";
import { startShell } from "../ui/shell.ts";
import { failToast, toast, words } from "../ui/toast.ts";
import { loadItems } from "./items.ts";
import { showKeys } from "./key_table.ts";
import { askReassign, askRelease, askTakeOver, claim, readingPath } from "./work_actions.ts";
import { afterSignature } from "./after_signature.ts";
import { bindListKeys } from "./worklist_keys.ts";
import { connectFilters, type FilterBar } from "./worklist_filters.ts";
import { showNext } from "./worklist_next.ts";
import { isMine, isOpen, mayReassign, mayTake, mayTakeOver, queue } from "./worklist_order.ts";
import { Preview, WIDE } from "./worklist_preview.ts";
import { Rows } from "./worklist_rows.ts";

/** What ended longer ago than this has left the list. */
const SINCE = { since_hours: "24" };
const MOST_LISTED = 2000;
const DAY_MS = 24 * 3_600_000;

export function startWorklist(): void {
  new Worklist().start();
}

class Worklist {
  readonly person = me();
  readonly items = new Map<string, WorklistItem>();
  readonly rows = new Rows(this.person, (uid, isChosen) => (isChosen ? void this.claim() : this.select(uid)));
  readonly preview = new Preview(this.person);
  readonly bar: FilterBar = connectFilters(this.person, () => this.draw(), (query) => void this.search(query));
  selected = "";
  #failed: unknown = null;
  #isLoaded = false;
  #hasChosen = false;
  readonly #loader = new OneAtATime(() => this.#load());
  #searchedFor = { query: "", everywhere: false };
  /** What a search found beyond the list: drawn until the next search, then forgotten. */
  readonly #beyond = new Set<string>();

  start(): void {
    const { live } = startShell(() => void this.load());
    live.subscribe((message) => this.hear(message));
    bindListKeys(this);
    byId("next-button").addEventListener("click", () => void this.openNext());
    byId("claim").addEventListener("click", () => void this.claim());
    byId("reassign").addEventListener("click", () => void this.reassign());
    byId("release").addEventListener("click", () => void this.release());
    byId("take-over").addEventListener("click", () => void this.takeOver());
    document.querySelector(".statusbar .right .key")?.addEventListener("click", () => showKeys("list"));
    const clock = byId("clock");
    setInterval(() => fill(clock, timeWithSeconds(serverNow())), 1000);
    void this.load().then(() => afterSignature());
  }

  get current(): WorklistItem | null {
    return this.items.get(this.selected) ?? null;
  }

  load(): Promise<void> {
    return this.#loader.ask();
  }

  async #load(): Promise<void> {
    try {
      const items = await loadItems(SINCE, MOST_LISTED);
      this.items.clear();
      this.#beyond.clear();
      for (const item of items) this.items.set(item.workitem_uid, item);
      this.#failed = null;
      this.#isLoaded = true;
    } catch (error) {
      this.#failed = error;
    }
    if (!this.items.has(this.selected)) this.selected = "";
    this.draw();
    if (!this.#failed) this.#selectFirst();
    if (this.#searchedFor.query) void this.search(this.#searchedFor.query, this.#searchedFor.everywhere);
    if (this.selected) void this.preview.show(this.current);
  }

  /** Where the preview stands beside the list it starts with the first row; later nothing is chosen for anybody. */
  #selectFirst(): void {
    const isFirstLoad = !this.#hasChosen;
    this.#hasChosen = true;
    if (isFirstLoad && !this.selected && matchMedia(WIDE).matches) this.selected = this.rows.neighbour("", 1);
    if (isFirstLoad && this.selected) this.rows.select(this.selected, false);
  }

  /** An event carries its study's workitems as they are now: those of that study are replaced, nothing else moves. */
  hear(message: LiveMessage): void {
    const study = message["study_instance_uid"];
    if (message.kind === "priors_changed") return void this.load(); // what each person may see, nobody else can tell
    const now = message["items"];
    if (typeof study !== "string" || !Array.isArray(now)) return;
    if (this.#loader.isRunning) void this.load(); // the answer under way may not know of this yet
    const before = [...this.items.values()].filter((item) => item.study_instance_uid === study);
    for (const item of before) this.items.delete(item.workitem_uid);
    const nPriors = before[0]?.n_priors ?? 0; // an event counts those of the site alone
    for (const item of now as WorklistItem[]) if (this.#stays(item)) this.items.set(item.workitem_uid, { ...item, n_priors: Math.max(item.n_priors, nPriors) });
    this.#followSelection(before);
    this.#tellAssigned(before, now as WorklistItem[], message);
    this.draw(message.kind === "received" ? study : "");
    if (this.current?.study_instance_uid === study) void this.preview.show(this.current, true);
    if (this.#searchedFor.query) void this.search(this.#searchedFor.query, this.#searchedFor.everywhere);
  }

  #stays(item: WorklistItem): boolean {
    return isOpen(item) || (item.ended_at !== null && serverNow() - Date.parse(item.ended_at) < DAY_MS);
  }

  /** A workitem that was replaced hands the selection to the one that took its place. */
  #followSelection(before: WorklistItem[]): void {
    if (!before.some((item) => item.workitem_uid === this.selected) || this.items.has(this.selected)) return;
    const study = before[0]?.study_instance_uid;
    const heir = [...this.items.values()].find((item) => item.study_instance_uid === study && isOpen(item));
    this.selected = heir?.workitem_uid ?? "";
  }

  #tellAssigned(before: WorklistItem[], now: WorklistItem[], message: LiveMessage): void {
    if (message.kind !== "reassigned" || message["actor"] === this.person.username) return;
    const mine = now.find((item) => isOpen(item) && item.assigned_to_id === this.person.accountId);
    if (!mine || before.some((item) => item.assigned_to_id === this.person.accountId && isOpen(item))) return;
    toast({ kind: "info", title: t("ui.worklist.assigned_toast", { name: mine.patient.name }), action: { words: t("ui.worklist.open"), run: () => void this.claim(mine) } });
  }

  async search(query: string, everywhere = false): Promise<void> {
    const asked = (this.#searchedFor = { query, everywhere });
    if (!query) {
      this.bar.filters.found = null;
      this.#forgetBeyond();
      return this.draw();
    }
    try {
      const items = await loadItems({ q: query, ...(everywhere ? {} : SINCE) }, 200);
      if (this.#searchedFor !== asked) return;
      this.#forgetBeyond();
      for (const item of items.filter(({ workitem_uid: uid }) => !this.items.has(uid))) {
        this.items.set(item.workitem_uid, item);
        this.#beyond.add(item.workitem_uid);
      }
      this.bar.filters.found = new Set(items.map((item) => item.workitem_uid));
      if (everywhere) this.bar.setOpenOnly(false);
    } catch (error) {
      if (this.#searchedFor === asked) failToast(t("page.reader.search_failed"), error);
    }
    this.draw();
  }

  #forgetBeyond(): void {
    for (const uid of this.#beyond) this.items.delete(uid);
    this.#beyond.clear();
  }

  select(uid: string, isByKey = false): void {
    this.selected = uid;
    this.rows.select(uid, isByKey);
    void this.preview.show(this.current);
  }

  move(step: number): void {
    const uid = this.rows.neighbour(this.selected, step);
    if (uid) this.select(uid, true);
  }

  draw(arrived = ""): void {
    const all = [...this.items.values()];
    const shown = this.bar.shown(all);
    this.rows.draw(shown, this.selected, arrived);
    this.bar.count(all, shown.length);
    showNext(queue(all, this.person), this.person);
    this.preview.actions(this.current);
    this.#state(shown.length);
  }

  #state(n: number): void {
    const place = byId("list-state");
    if (this.#failed && this.items.size === 0) {
      return fill(place, state("error", "alert", t("ui.worklist.failed"), `${words(this.#failed)} · ${t("ui.worklist.failed_note")}`, t("ui.retry"), () => void this.load()));
    }
    if (!this.#isLoaded) return;
    if (n > 0) return fill(place);
    const { query, everywhere } = this.#searchedFor;
    if (query && !everywhere) {
      return fill(place, state("", "search", t("ui.worklist.none_found", { q: query }), t("ui.worklist.none_found_note"), t("page.reader.search_everywhere"), () => void this.search(query, true)));
    }
    if (query || this.bar.isNarrowed) {
      const title = query ? t("ui.worklist.none_found", { q: query }) : t("page.reader.filtered_empty");
      return fill(place, state("", "filter", title, t("ui.worklist.none_found_note"), t("ui.worklist.clear_filters"), () => this.bar.clear()));
    }
    fill(place, state("ok", "check", t("ui.worklist.empty"), t("ui.worklist.empty_note")));
  }

  async openNext(): Promise<void> {
    const next = queue(this.items.values(), this.person)[0];
    if (next) await this.claim(next);
    else toast({ kind: "info", title: t("ui.worklist.next.none") });
  }

  /** Enter: claims and reads; what another holds or is signed is opened to look at. */
  async claim(item: WorklistItem | null = this.current): Promise<void> {
    if (!item) return this.#refuse(null);
    if (!mayTake(item, this.person) || isMine(item, this.person)) return location.assign(readingPath(item.workitem_uid));
    try {
      await claim(item.workitem_uid);
      location.assign(readingPath(item.workitem_uid));
    } catch (error) {
      const isTaken = error instanceof ApiError && error.code === "already_claimed";
      toast({
        kind: isTaken ? "warning" : "error",
        title: isTaken ? t("ui.worklist.claimed_by", { name: String(error.details["holder"] ?? "") }) : t("page.reader.claim_failed"),
        text: words(error),
        action: isTaken ? { words: t("page.reader.open_to_look"), run: () => location.assign(readingPath(item.workitem_uid)) } : undefined,
      });
      await this.load();
    }
  }

  async reassign(): Promise<void> {
    const item = this.current;
    if (!item || !mayReassign(item, this.person)) return this.#refuse(item);
    if (await askReassign(item, this.person)) await this.load();
  }

  /** Why what was pressed is not done. */
  #refuse(item: WorklistItem | null): void {
    const why = !item ? t("page.reader.choose_first")
      : isOpen(item) && isHeldByAnother(item, this.person) ? t("ui.worklist.claimed_by", { name: item.claimed_by ?? "" })
        : !isQualified(item, this.person) ? t("page.reader.not_qualified") : t("page.reader.not_offered");
    toast({ kind: "info", title: why });
  }

  async takeOver(): Promise<void> {
    const item = this.current;
    if (!item || !mayTakeOver(item, this.person)) return this.#refuse(item);
    const successor = await askTakeOver(item);
    if (successor) location.assign(readingPath(successor));
  }

  async release(): Promise<void> {
    const item = this.current;
    if (!item || !isOpen(item) || !isMine(item, this.person)) return this.#refuse(item);
    if (await askRelease(item)) await this.load();
  }
}

function state(tone: string, name: string, title: string, note: string, action = "", run: () => void = () => undefined): HTMLElement {
  return h("div", { class: `state ${tone}` }, icon(name, 24), h("b", {}, title), h("p", {}, note),
    action && h("button", { class: "btn", type: "button", onclick: run }, action));
}
