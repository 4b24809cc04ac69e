/** /technician: what this site sent and how far it is, live; new requests; ECG files. */
import { t } from "../i18n.ts";
import { server } from "../server.ts";
import { serverNow } from "../ui/clock.ts";
import { fullDate } from "../ui/format.ts";
import { byId, fill, h } from "../ui/h.ts";
import { askReleaseImages } from "../ui/images.ts";
import type { WorklistItem } from "../ui/item.ts";
import { OneAtATime } from "../ui/one_at_a_time.ts";
import { startShell } from "../ui/shell.ts";
import { toast, told, words } from "../ui/toast.ts";
import { loadItems } from "./items.ts";
import { KeyedRows } from "./keyed.ts";
import { startOrderForm } from "./order_form.ts";
import { attentionCard, openMatch, suggestionOf } from "./order_match.ts";
import { segment } from "./segment.ts";
import { hasSuggestion, needsAction, type OpenOrder, orderRow, refreshTimeLeft, studyRow } from "./sent_rows.ts";
import { emptyState, loadInto } from "./states.ts";
import { isSigned, Studies } from "./studies.ts";
import { startUploads } from "./upload.ts";

type Filter = "all" | "todo" | "waiting" | "returned";

const SEARCH_PAUSE_MS = 250;
const TICK_MS = 1000;
const MOST_CARDS = 2;

export function technician(): void {
  const page = new TechnicianPage();
  const { live } = startShell(() => void page.load());
  live.subscribe((message) => page.take(message));
  void page.load();
}

class TechnicianPage {
  readonly #studies = new Studies();
  readonly #rows = new KeyedRows(byId("sent-rows"));
  #orders: OpenOrder[] = [];
  /** What the server found for the words in the search field; null while nothing is sought. */
  #found: WorklistItem[] | null = null;
  #query = "";
  #cards = "";
  #isLoaded = false;
  readonly #loader = new OneAtATime(() => this.#load());
  readonly #filter;
  readonly #form = startOrderForm(() => told(this.#loadOrders()));

  constructor() {
    this.#filter = segment(byId("sent-filter"), "filter", () => this.#draw());
    startUploads({ openOrders: () => this.#waiting(), draft: () => this.#form.patient(), done: () => this.#form.clear() });
    this.#connectSearch();
    setInterval(() => {
      for (const element of document.querySelectorAll<HTMLElement>("[data-time-left]")) refreshTimeLeft(element);
    }, TICK_MS);
  }

  load(): Promise<void> {
    return this.#loader.ask();
  }

  #load(): Promise<void> {
    return loadInto(byId("sent-state"), async () => {
      const [items] = await Promise.all([loadItems({ since_hours: "48" }), this.#loadOrders()]);
      this.#studies.setAll(items);
      this.#isLoaded = true;
      this.#draw();
    }, () => this.#isLoaded);
  }

  take(message: Parameters<Studies["take"]>[0]): void {
    if (this.#loader.isRunning) void this.load(); // the answer under way may not know of this yet
    const uid = message["study_instance_uid"];
    const isNew = typeof uid === "string" && !this.#studies.has(uid);
    const isAboutStudy = this.#studies.take(message);
    if (["ordered", "matched", "acquisition"].includes(message.kind) || (isAboutStudy && isNew)) told(this.#loadOrders());
    if (isAboutStudy && this.#query) void this.#search();
    else if (isAboutStudy) this.#draw();
  }

  async #loadOrders(): Promise<void> {
    this.#orders = (await server.get<{ orders: OpenOrder[] }>("/api/orders?days=1")).orders;
    if (this.#isLoaded) this.#draw();
  }

  /** Today's, and what is not finished of the days before. */
  #today(): WorklistItem[] {
    const today = fullDate(serverNow());
    return this.#studies.list().filter((item) => fullDate(item.received_at) === today || !isSigned(item));
  }

  /** Requests without images; one whose study has just come no longer waits, whatever the last answer said. */
  #waiting(): OpenOrder[] {
    const arrived = new Set(this.#studies.list().map((item) => item.order.order_uid));
    return this.#orders.filter((order) => !arrived.has(order.order_uid));
  }

  #draw(): void {
    const items = this.#found ?? this.#today();
    const orders = this.#waiting().filter((order) => !this.#found || matches(order, this.#query));
    const groups: Record<Filter, WorklistItem[]> = {
      all: items,
      todo: items.filter(needsAction),
      waiting: items.filter((item) => !isSigned(item)),
      returned: items.filter(isSigned),
    };
    const chosen = this.#filter.value as Filter;
    const shownOrders = chosen === "all" || chosen === "waiting" ? orders : [];
    this.#showCounts(groups, orders.length);
    this.#showRows(groups[chosen], shownOrders);
    this.#showState(groups[chosen].length + shownOrders.length === 0, chosen);
    void this.#showCards(this.#today().filter(hasSuggestion).slice(0, MOST_CARDS));
  }

  #showCounts(groups: Record<Filter, WorklistItem[]>, nOrders: number): void {
    for (const button of byId("sent-filter").querySelectorAll<HTMLElement>("[data-filter]")) {
      const name = button.dataset["filter"] as Filter;
      const extra = name === "all" || name === "waiting" ? nOrders : 0;
      fill(button.querySelector("[data-n]") as Element, groups[name].length + extra);
    }
  }

  #showRows(items: readonly WorklistItem[], orders: readonly OpenOrder[]): void {
    this.#rows.show<OpenOrder | WorklistItem>(
      [...orders, ...items],
      (one) => ("study_instance_uid" in one ? one.study_instance_uid : `order ${one.order_uid}`),
      (one) => ("study_instance_uid" in one ? studyRow(one, { match: (item) => told(this.#match(item)), release: (item) => void askReleaseImages(item) }) : orderRow(one)));
  }

  #showState(isEmpty: boolean, chosen: Filter): void {
    const place = byId("sent-state");
    if (!isEmpty) return fill(place);
    if (this.#query) return fill(place, emptyState("search", t("page.none_found", { q: this.#query })));
    if (chosen !== "all") return fill(place, emptyState("check", t(`page.tech.none.${chosen}`)));
    fill(place, emptyState("upload", t("ui.tech.empty"),
      h("button", { class: "link", type: "button", onclick: () => this.#form.focus() }, t("ui.tech.empty_note"))));
  }

  async #showCards(items: readonly WorklistItem[]): Promise<void> {
    const mark = items.map((item) => `${item.study_instance_uid} ${item.order.suggested_order_uid}`).join();
    if (mark === this.#cards) return;
    this.#cards = mark;
    const cards = await Promise.all(items.map(async (item) => {
      const { order, thumbnail } = await suggestionOf(item).catch(() => ({ order: null, thumbnail: null }));
      return order && attentionCard(item, order, thumbnail, () => void this.load());
    }));
    if (mark !== this.#cards) return;
    fill(byId("attention"), ...cards);
    // A picture that is still being made is looked for again with the next event.
    if (byId("attention").querySelector(".awaits-picture")) this.#cards = "";
  }

  async #match(item: WorklistItem): Promise<void> {
    const { order } = await suggestionOf(item);
    if (order) openMatch(item, order, () => void this.load());
    else await this.load();
  }

  #connectSearch(): void {
    const field = byId<HTMLInputElement>("search");
    let timer: ReturnType<typeof setTimeout> | undefined;
    field.addEventListener("input", (event) => {
      if ((event as InputEvent).isComposing) return;
      clearTimeout(timer);
      timer = setTimeout(() => void this.#search(), SEARCH_PAUSE_MS);
    });
    field.addEventListener("compositionend", () => void this.#search());
  }

  /** The server knows initials and older examinations. */
  async #search(): Promise<void> {
    const query = byId<HTMLInputElement>("search").value.trim();
    this.#query = query;
    if (!query) {
      this.#found = null;
      return this.#draw();
    }
    try {
      const found = new Studies();
      found.setAll(await loadItems({ q: query }));
      if (query !== this.#query) return;
      this.#found = found.list();
      this.#draw();
    } catch (error) {
      toast({ kind: "error", title: words(error) });
    }
  }
}

function matches(order: OpenOrder, query: string): boolean {
  const { name, name_pinyin: pinyin, patient_id: id } = order.patient;
  const lower = query.toLowerCase();
  return name.includes(query) || pinyin.startsWith(lower) || order.accession_number.startsWith(query) || Boolean(id?.startsWith(query));
}
