/** /admin: sites and devices, the delivery queue, people, log-ins, quarantine; looked at anew every five seconds. */
import { t } from "../i18n.ts";
import { ApiError, server } from "../server.ts";
import { setServerNow } from "../ui/clock.ts";
import { bytes } from "../ui/format.ts";
import { byId, fill, h } from "../ui/h.ts";
import { installRelogin } from "../ui/relogin.ts";
import { connectUserMenu } from "../ui/shell.ts";
import { CommitmentsPane } from "./admin_commitments.ts";
import type { Queue } from "./admin_data.ts";
import { TokensPane, UsersPane } from "./admin_people.ts";
import { QuarantinePane } from "./admin_quarantine.ts";
import { QueuePane } from "./admin_queue.ts";
import { SitesPane } from "./admin_sites.ts";
import { errorState } from "./states.ts";

const TABS = ["sites", "deliveries", "users", "tokens", "quarantine"] as const;
/** The commitments stand behind the tab of the deliveries. */
const PANES = [...TABS, "commitments"] as const;
type Tab = (typeof PANES)[number];
const EVERY_MS = 5000;
const STALE_MS = 20_000;
/** Where a first load that fails is told. */
const PLACES: Readonly<Record<Tab, string>> = {
  sites: "device-rows-state", deliveries: "delivery-rows-state", commitments: "commitment-rows-state", users: "user-rows-state", tokens: "token-rows-state", quarantine: "quarantine-rows-state",
};

interface Health {
  failing: string[];
  disk_used_percent: number;
  disk_free_bytes: number;
  jobs: { kind: string; dead: number }[];
  refused_associations_today: number;
}

export function admin(): void {
  installRelogin(server);
  connectUserMenu();
  void new AdminPage().start();
}

class AdminPage {
  #tab: Tab = "sites";
  #hasTime = false;
  #loadedAt = Date.now();
  readonly #loaded = new Set<Tab>();
  readonly #sites = new SitesPane((deliveryId) => {
    this.#choose("deliveries");
    this.#queue.open(deliveryId);
  });
  readonly #queue = new QueuePane(() => this.#sites.sites);
  readonly #commitments = new CommitmentsPane(() => this.#sites.sites);
  readonly #users = new UsersPane(() => this.#sites.sites);
  readonly #tokens = new TokensPane((username) => this.#users.nameOf(username));
  readonly #quarantine = new QuarantinePane(() => this.#sites.sites);

  async start(): Promise<void> {
    this.#connectTabs();
    byId("stale-refresh").addEventListener("click", () => void this.#look());
    for (const tab of ["commitments", "deliveries"] as const) byId(`show-${tab}`).addEventListener("click", () => this.#choose(tab));
    const wanted = PANES.find((tab) => `#${tab}` === location.hash);
    if (wanted) this.#choose(wanted);
    for (;;) {
      if (document.visibilityState === "visible") await this.#look();
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
  }

  #load(tab: Tab): Promise<void> {
    if (tab === "sites") return this.#sites.load();
    if (tab === "deliveries") return this.#queue.load();
    if (tab === "commitments") return this.#commitments.load();
    if (tab === "users") return this.#users.load();
    if (tab === "tokens") return this.#tokens.load();
    return this.#quarantine.load();
  }

  /** The open tab and the numbers on the others; a failure leaves what is shown and says how old it is. */
  async #look(): Promise<void> {
    const tab = this.#tab;
    try {
      if (!this.#hasTime) setServerNow((await server.get<{ now: string }>("/api/session")).now);
      this.#hasTime = true;
      if (this.#sites.sites.length === 0 && tab !== "sites") await this.#sites.load();
      await this.#load(tab);
      this.#loaded.add(tab);
      await this.#badges();
      this.#loadedAt = Date.now();
    } catch (error) {
      if (!this.#loaded.has(tab)) fill(byId(PLACES[tab]), errorState(error, () => void this.#look()));
      if (error instanceof ApiError && error.status === 0) fill(byId("system-health"), h("span", { class: "pair red" }, h("i", { class: "dot" }), t("page.offline")));
    }
    this.#sayStale();
  }

  #sayStale(): void {
    const silentMs = Date.now() - this.#loadedAt;
    byId("stale-banner").hidden = silentMs < STALE_MS;
    if (silentMs >= STALE_MS) fill(byId("stale-words"), t("ui.stale.words", { n: Math.floor(silentMs / 1000) }));
  }

  async #badges(): Promise<void> {
    const [health, queue] = await Promise.all([server.get<Health>("/api/admin/health"), server.get<Queue>("/api/admin/deliveries?state=failed")]);
    if (this.#tab !== "quarantine") await this.#quarantine.load();
    const dead = health.jobs.reduce((sum, job) => sum + job.dead, 0);
    badge("deliveries", Math.max(queue.counts.failed, dead));
    badge("quarantine", this.#quarantine.count);
    this.#showHealth(health);
  }

  #showHealth(health: Health): void {
    const place = byId("system-health");
    const isWell = health.failing.length === 0;
    place.classList.toggle("green", isWell);
    const what = health.failing.map((part) => t(`page.admin.part.${part}`)).join(t("ui.list_separator"));
    fill(place, h("span", { class: `pair ${isWell ? "green" : "red"}` }, h("i", { class: "dot" }), isWell ? t("page.admin.health_ok") : t("ui.admin.health_bad", { what })),
      h("span", { class: health.disk_used_percent >= 85 ? "amber" : "tx2" }, t("page.admin.disk", { percent: health.disk_used_percent, free: bytes(health.disk_free_bytes) })));
    const refused = health.refused_associations_today;
    fill(byId("refused-today"), refused > 0 && h("span", { class: "amber" }, t("ui.admin.refused_today", { n: refused })));
  }

  #connectTabs(): void {
    const list = byId("admin-tabs");
    list.addEventListener("click", (event) => {
      const tab = (event.target as HTMLElement).closest<HTMLElement>("[data-tab]")?.dataset["tab"] as Tab | undefined;
      if (tab) this.#choose(tab);
    });
    list.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.#choose(TABS[(TABS.indexOf(tabOf(this.#tab)) + step + TABS.length) % TABS.length] ?? "sites");
      byId(`tab-${tabOf(this.#tab)}`).focus();
    });
  }

  #choose(tab: Tab): void {
    this.#tab = tab;
    for (const name of TABS) {
      const button = byId(`tab-${name}`);
      button.setAttribute("aria-selected", String(name === tabOf(tab)));
      button.tabIndex = name === tabOf(tab) ? 0 : -1;
    }
    for (const name of PANES) byId(`pane-${name}`).hidden = name !== tab;
    history.replaceState(null, "", `#${tab}`);
    void this.#look();
  }
}

function tabOf(pane: Tab): (typeof TABS)[number] {
  return pane === "commitments" ? "deliveries" : pane;
}

function badge(tab: Tab, count: number): void {
  const place = byId(`badge-${tab}`);
  place.hidden = count === 0;
  fill(place, count);
}
