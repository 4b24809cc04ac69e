/** 机构与设备: the sites with their health, one site's facts, its devices and what goes back to it. */
import { t } from "../i18n.ts";
import { server } from "../server.ts";
import { serverNow } from "../ui/clock.ts";
import { deliveryTrack } from "../ui/deliverytrack.ts";
import { duration, fullDate, modality, moment, siteName } from "../ui/format.ts";
import { byId, type Child, fill, h } from "../ui/h.ts";
import { told, words } from "../ui/toast.ts";
import { type Device, type Echo, echoWords, outcomeWords, type Queue, type QueuedDelivery, type Site } from "./admin_data.ts";
import { deviceForm } from "./admin_device_form.ts";
import { siteForm } from "./admin_forms.ts";
import { KeyedRows } from "./keyed.ts";
import { emptyState } from "./states.ts";

const WARN_UNACKNOWLEDGED_MS = 2 * 3600_000;

export class SitesPane {
  sites: Site[] = [];
  #devices: Device[] = [];
  #selected = "";
  #factsMark = "";
  readonly #echoes = new Map<string, { tone: string; words: string }>();
  readonly #siteRows = new KeyedRows(byId("site-list"));
  readonly #deviceRows = new KeyedRows(byId("device-rows"));
  readonly #queueRows = new KeyedRows(byId("site-delivery-rows"));

  constructor(private readonly openQueue: (deliveryId: number) => void) {
    byId("add-site").addEventListener("click", () => siteForm(null, () => told(this.load())));
    byId("edit-site").addEventListener("click", () => this.#site && siteForm(this.#site, () => told(this.load())));
    byId("add-device").addEventListener("click", () => this.#site && deviceForm(null, this.#site, () => told(this.load())));
    fill(byId("site-list"));
  }

  get #site(): Site | undefined {
    return this.sites.find((site) => site.code === this.#selected);
  }

  async load(): Promise<void> {
    const [{ sites }, { devices }] = await Promise.all([
      server.get<{ sites: Site[] }>("/api/admin/sites"), server.get<{ devices: Device[] }>("/api/admin/devices"),
    ]);
    this.sites = sites;
    this.#devices = devices;
    if (!this.#site) this.#selected = (sites.find((site) => !site.reads) ?? sites[0])?.code ?? "";
    this.#draw();
    const code = this.#selected;
    const queue = await server.get<Queue>(`/api/admin/deliveries?state=all&site=${encodeURIComponent(code)}`);
    if (code === this.#selected) this.#drawQueue(queue);
  }

  #draw(): void {
    fill(byId("n-sites"), this.sites.length);
    this.#siteRows.show(this.sites.map((site) => ({ site, isCurrent: site.code === this.#selected, minute: Math.floor(serverNow() / 60_000) })),
      ({ site }) => site.code, ({ site, isCurrent }) => this.#siteEntry(site, isCurrent));
    const site = this.#site;
    if (!site) return;
    fill(byId("site-name"), siteName(site));
    fill(byId("site-code"), site.code);
    this.#drawFacts(site);
    const own = this.#devices.filter((device) => device.site === site.code);
    this.#deviceRows.show(own, (device) => device.ae_title, (device) => this.#deviceRow(device, site));
    fill(byId("device-rows-state"), own.length === 0 && emptyState("device", t("page.admin.no_devices")));
  }

  #siteEntry(site: Site, isCurrent: boolean): HTMLElement {
    const { tone, text } = healthOf(site);
    const oldest = site.oldest_unacknowledged_at;
    return h("button", { class: "site-item", type: "button", "data-site": site.code, "aria-current": isCurrent ? "true" : null, onclick: () => this.select(site.code) },
      h("i", { class: `dot ${tone}` }),
      h("span", {}, h("b", {}, siteName(site)), h("span", { class: "mono tx2" }, site.code), h("small", {}, t("ui.admin.site_n", { devices: site.n_devices, users: site.n_users }))),
      h("span", { class: "end" }, h("span", { class: tone }, text), h("small", {}, oldest ? t("page.admin.unacknowledged", { time: since(oldest) }) : "—")));
  }

  select(code: string): void {
    if (code === this.#selected) return;
    this.#selected = code;
    fill(byId("site-delivery-rows-state"));
    told(this.load());
  }

  #drawFacts(site: Site): void {
    const mark = JSON.stringify([site, this.#echoes.get(site.code)]);
    if (mark === this.#factsMark) return;
    this.#factsMark = mark;
    const others = site.signatures_by_modality["*"] ?? 1;
    const special = Object.entries(site.signatures_by_modality).filter(([code, n]) => code !== "*" && n !== others).map(([code, n]) => `${code} ${t("page.admin.signers", { n })}`);
    const fact = (label: string, ...value: Child[]): HTMLElement => h("div", {}, h("dt", {}, label), h("dd", {}, ...value));
    const hasReturn = site.return_ae_title && site.return_host && site.return_port;
    fill(byId("site-facts"),
      fact(t("ui.admin.fact.signatures"), [...special, `${special.length > 0 ? t("page.admin.others") : t("page.admin.all_kinds")} ${t("page.admin.signers", { n: others })}`].join(" · ")),
      fact(t("ui.admin.fact.return"), hasReturn ? `${t("ui.channel.dicom")} · ${t("ui.channel.portal")}` : site.reads ? "—" : t("ui.admin.fact.portal_only")),
      hasReturn && fact(t("ui.admin.fact.address"), this.#returnAddress(site)),
      fact(t("page.admin.today"), t("page.admin.today_n", { received: site.n_received_today, open: site.n_undelivered })),
      fact(t("page.admin.prefix"), h("span", { class: "mono" }, site.accession_prefix || "—")),
      !site.enabled && fact(t("ui.admin.user.state"), h("span", { class: "red" }, t("ui.admin.user.disabled"))));
  }

  #returnAddress(site: Site): HTMLElement {
    const known = this.#echoes.get(site.code);
    const button = h("button", { class: "link", type: "button", id: "echo", disabled: known?.words === t("page.admin.testing"), onclick: () => void this.#test(site.code) }, t("page.admin.test"));
    const result = known && h("span", { class: `pair ${known.tone}` }, known.tone && h("i", { class: "dot" }), known.words);
    return h("span", { class: "pair" }, h("span", { class: "mono" }, `${site.return_ae_title}@${site.return_host}:${site.return_port}`), button, h("span", { class: "echo", role: "status" }, result));
  }

  /** What was found stays beside the address, however often the page looks anew. */
  async #test(code: string): Promise<void> {
    const say = (tone: string, text: string): void => {
      this.#echoes.set(code, { tone, words: text });
      if (this.#site) this.#drawFacts(this.#site);
    };
    say("", t("page.admin.testing"));
    try {
      const { tone, text } = echoWords(await server.post<Echo>(`/api/admin/sites/${code}/echo`));
      say(tone, text);
    } catch (error) {
      say("red", words(error));
    }
  }

  #deviceRow(device: Device, site: Site): HTMLElement {
    const isToday = device.last_seen_at && fullDate(device.last_seen_at) === fullDate(serverNow());
    const seen = device.last_seen_at
      ? h("span", { class: "pair" }, h("i", { class: `dot ${isToday ? "green" : "tx3"}` }), moment(device.last_seen_at))
      : h("span", { class: "tx3" }, t("page.admin.never"));
    return h("tr", { "data-device": device.ae_title },
      h("td", {}, h("b", { class: "mono" }, device.ae_title)),
      h("td", {}, h("span", { class: "type" }, t(`ui.device_type_short.${device.modality}`))),
      h("td", {}, device.name || "—", device.certificate_sha256 && h("span", { class: "chip green" }, t("ui.admin.device.has_certificate")),
        device.exception_reason && h("span", { class: "chip amber", title: device.exception_reason }, t("ui.admin.device.has_exception")), !device.enabled && h("span", { class: "chip red" }, t("ui.admin.user.disabled"))),
      h("td", { class: "mono" }, device.address_range),
      h("td", {}, device.services.map((service) => t(`ui.admin.service.${service}`)).join(" · ") || "—"),
      h("td", {}, device.fallback_character_set),
      h("td", {}, `${device.quiet_time_s}\u00a0s`),
      h("td", {}, seen),
      h("td", { class: "actions" }, h("button", { class: "link", type: "button", onclick: () => deviceForm(device, site, () => told(this.load())) }, t("ui.admin.edit"))));
  }

  #drawQueue(queue: Queue): void {
    fill(byId("site-queue-note"), t("page.admin.queue_note", { open: queue.counts.open, all: queue.counts.all }));
    this.#queueRows.show(queue.deliveries, (one) => String(one.delivery_id), (one) => this.#queueRow(one));
    fill(byId("site-delivery-rows-state"), queue.deliveries.length === 0 && emptyState("send", t("page.admin.no_reports")));
  }

  #queueRow(one: QueuedDelivery): HTMLElement {
    return h("tr", { "data-delivery": one.delivery_id },
      h("td", { class: "tx2" }, one.signed_at ? moment(one.signed_at) : "—"),
      h("td", {}, examination(one)),
      h("td", {}, h("span", { class: "chip outline" }, `v${one.document_version}`)),
      h("td", {}, t(`ui.channel.${one.channel}`)),
      h("td", {}, deliveryTrack(one.state)),
      h("td", {}, one.n_attempts),
      h("td", { class: "tx2" }, one.next_attempt_at ? moment(one.next_attempt_at) : "—"),
      h("td", { class: "tx2 wraps" }, outcomeWords(one.last_error) || (one.acknowledged_at ? moment(one.acknowledged_at) : "")),
      h("td", { class: "actions" }, one.channel === "portal" ? "" : h("button", { class: "link", type: "button", onclick: () => this.openQueue(one.delivery_id) }, t("page.admin.look"))));
  }
}

export function examination(one: QueuedDelivery): HTMLElement {
  return h("span", { class: "pair" }, h("b", {}, one.patient_name || "—"), h("span", { class: "type" }, modality(one.modality)));
}

export function since(at: string): string {
  return duration(serverNow() - Date.parse(at));
}

function healthOf(site: Site): { tone: string; text: string } {
  if (!site.enabled) return { tone: "tx3", text: t("ui.admin.user.disabled") };
  if (site.n_dead > 0) return { tone: "red", text: t("page.admin.n_failed", { n: site.n_dead }) };
  if (site.n_retrying > 0) return { tone: "amber", text: t("page.admin.n_retrying", { n: site.n_retrying }) };
  const oldest = site.oldest_unacknowledged_at;
  if (oldest && serverNow() - Date.parse(oldest) > WARN_UNACKNOWLEDGED_MS) return { tone: "amber", text: t("page.admin.waits") };
  return { tone: "green", text: t("page.admin.normal") };
}
