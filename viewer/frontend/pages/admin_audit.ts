/** /admin/audit: who did what to which object, narrowed by day, person, act and object; paged, and taken along as CSV. */
import { t, tOr } from "../i18n.ts";
import { server } from "../server.ts";
import { setServerNow } from "../ui/clock.ts";
import { fullDate, timeWithSeconds } from "../ui/format.ts";
import { byId, type Child, fill, h, icon } from "../ui/h.ts";
import { OneAtATime } from "../ui/one_at_a_time.ts";
import { installRelogin } from "../ui/relogin.ts";
import { connectUserMenu } from "../ui/shell.ts";
import { outcomeWords, refusalWords } from "./admin_data.ts";
import { emptyState, loadInto } from "./states.ts";

interface AuditRow {
  id: number;
  at: string;
  actor: string;
  role: string;
  site: string;
  act: string;
  object_type: string;
  object_uid: string;
  result: string;
  details: Record<string, unknown>;
}

/** What acts begin with; a test holds the list against the acts that the server writes. */
export const AREAS = [
  "account", "admin", "association", "audit", "break_glass", "commitment", "delivery", "device", "ecg", "events", "identity", "instances", "job",
  "mpps", "object", "objects", "order", "person", "portal", "quarantine", "repair", "report", "session", "signing_key", "site", "statistics",
  "study", "ups", "workitem", "worklist",
] as const;
const UID_TAIL = 22;

export function audit(): void {
  installRelogin(server);
  connectUserMenu();
  new AuditPage().start();
}

class AuditPage {
  readonly #form = byId<HTMLFormElement>("audit-filter");
  readonly #loader = new OneAtATime(() => this.#load());
  /** Before which row each page begins, the newest first; the last is the page on screen. */
  #pages: (number | null)[] = [null];
  #next: number | null = null;

  start(): void {
    fill(this.#select(), h("option", { value: "" }, t("page.audit.every_act")), ...AREAS.map((area) => h("option", { value: `${area}.` }, areaWords(area))));
    const wanted = new URLSearchParams(location.hash.slice(1));
    for (const [name, value] of wanted) this.#set(name, value);
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#again();
    });
    this.#form.addEventListener("reset", () => setTimeout(() => this.#again()));
    this.#form.addEventListener("change", () => this.#again());
    byId("audit-older").addEventListener("click", () => this.#turn(() => this.#pages.push(this.#next)));
    byId("audit-newer").addEventListener("click", () => this.#turn(() => this.#pages.pop()));
    this.#again();
  }

  #select(): HTMLSelectElement {
    return this.#form.elements.namedItem("act") as HTMLSelectElement;
  }

  /** One act among the areas: it comes from a row. */
  #set(name: string, value: string): void {
    const field = this.#form.elements.namedItem(name);
    if (field instanceof HTMLSelectElement && value && ![...field.options].some((one) => one.value === value)) {
      for (const one of field.querySelectorAll("[data-one]")) one.remove();
      field.append(h("option", { value, "data-one": "" }, value));
    }
    if (field instanceof HTMLInputElement && field.type === "checkbox") field.checked = value === "1";
    else if (field instanceof HTMLInputElement || field instanceof HTMLSelectElement) field.value = value;
  }

  #asked(): URLSearchParams {
    const asked = new URLSearchParams();
    for (const [name, value] of new FormData(this.#form)) if (String(value).trim()) asked.set(name, String(value).trim());
    return asked;
  }

  #again(): void {
    this.#turn(() => (this.#pages = [null]));
  }

  #turn(change: () => unknown): void {
    change();
    void this.#loader.ask();
  }

  #load(): Promise<void> {
    const asked = this.#asked();
    const narrowed = asked.toString();
    history.replaceState(null, "", narrowed ? `#${narrowed}` : location.pathname);
    byId<HTMLAnchorElement>("audit-export").href = `/api/admin/audit.csv${narrowed ? `?${narrowed}` : ""}`;
    const before = this.#pages.at(-1);
    if (before) asked.set("before", String(before));
    return loadInto(byId("audit-state"), async () => {
      const [{ events, next }, { now }] = await Promise.all([server.get<{ events: AuditRow[]; next: number | null }>(`/api/admin/audit?${asked}`), server.get<{ now: string }>("/api/session")]);
      setServerNow(now);
      this.#next = next;
      this.#show(events);
    }, () => false);
  }

  #show(events: readonly AuditRow[]): void {
    fill(byId("audit-rows"), ...events.map((one) => this.#row(one)));
    fill(byId("audit-state"), events.length === 0 && emptyState("search", t("page.audit.none")));
    fill(byId("audit-shown"), events.length > 0 && t("page.audit.shown", { n: events.length, page: this.#pages.length }));
    byId<HTMLButtonElement>("audit-newer").disabled = this.#pages.length === 1;
    byId<HTMLButtonElement>("audit-older").disabled = this.#next === null;
    document.querySelector(".audit-rows")?.scrollTo({ top: 0 });
  }

  #row(one: AuditRow): HTMLElement {
    const [area = ""] = one.act.split(".");
    return h("tr", { "data-audit": one.id, "data-act": one.act },
      h("td", { class: "nowrap" }, h("span", { class: "tx2" }, fullDate(one.at)), ` ${timeWithSeconds(one.at)}`),
      h("td", {}, this.#narrowing("actor", one.actor), h("small", { class: "below" }, [one.role && roleWords(one.role), one.site].filter(Boolean).join(" · "))),
      h("td", {}, this.#narrowing("act", one.act), h("small", { class: "below" }, areaWords(area))),
      h("td", {}, one.object_uid ? this.#narrowing("object", one.object_uid) : "—", h("small", { class: "below" }, tOr(`page.audit.kind.${one.object_type}`, one.object_type))),
      h("td", { class: "wraps" }, ...resultWords(one)),
      h("td", { class: "wraps" }, ...detailWords(one.details)));
  }

  /** A value that narrows the list to itself; UIDs are told apart by their end. */
  #narrowing(name: string, value: string): HTMLElement {
    const words = value.length > UID_TAIL + 2 ? `…${value.slice(-UID_TAIL)}` : value;
    return h("button", { class: "link mono", type: "button", title: value, onclick: () => {
      this.#set(name, value);
      this.#again();
    } }, words);
  }
}

function areaWords(area: string): string {
  return (AREAS as readonly string[]).includes(area) ? t(`page.audit.area.${area}`) : area;
}

function roleWords(role: string): string {
  return tOr(role === "device" || role === "system" ? `page.audit.${role}` : `ui.role.${role}`, role);
}

function resultWords({ act, result }: AuditRow): Child[] {
  if (result === "ok") return [h("span", { class: "pair green" }, icon("check", 14), t("page.audit.ok"))];
  if (act.startsWith("delivery.")) return [h("span", { class: "chip red", title: result }, outcomeWords(result))];
  return [h("span", { class: "chip red" }, result), act === "association.open" && h("small", { class: "below" }, refusalWords(result))];
}

function detailWords(details: Record<string, unknown>): Child[] {
  return Object.entries(details).map(([name, value]) => h("span", { class: "audit-detail" }, h("span", { class: "tx2" }, `${name} `), h("span", { class: "mono" }, typeof value === "string" ? value : JSON.stringify(value))));
}
