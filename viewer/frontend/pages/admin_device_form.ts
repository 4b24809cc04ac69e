/** One device: what it may use, how it is believed, where it is reached, and why it was refused lately. */
import { t } from "../i18n.ts";
import { server } from "../server.ts";
import { field } from "../ui/dialog.ts";
import { fullDate, moment, siteName } from "../ui/format.ts";
import { fill, h } from "../ui/h.ts";
import { words } from "../ui/toast.ts";
import { type Device, type Echo, echoWords, refusalWords, type Site } from "./admin_data.ts";
import { type Changed, check, type Choice, head, input, number, select, show, text, wide } from "./admin_form_parts.ts";

const CHARACTER_SETS: readonly Choice[] = [
  ["GB18030", "GB18030"], ["GBK", "GBK"], ["ISO_IR 192", "ISO_IR 192 (UTF-8)"], ["ISO 2022 IR 58", "ISO 2022 IR 58 (GB 2312)"],
  ["ISO_IR 100", "ISO_IR 100 (Latin-1)"], ["ISO_IR 6", "ISO_IR 6 (ASCII)"],
];
const TYPES = ["DR", "CT", "ECG", "MR", "US", "MG", "XA", "WS"] as const;
const SERVICES = ["echo", "store", "worklist", "mpps", "mpps_notify", "commitment", "find", "move", "get", "ups"] as const;
const OF_MODALITY = new Set<string>(["echo", "store", "worklist", "mpps"]);
const OF_WORKSTATION = new Set<string>(["echo", "store"]);

interface Refusal {
  at: string;
  called_ae_title: string;
  reason: string;
  address: string | null;
}

export function deviceForm(device: Device | null, site: Site, changed: Changed): void {
  const type = select("modality", t("ui.admin.device.type"), device?.modality ?? "DR", TYPES.map((code) => [code, t(`ui.device_type.${code}`)]));
  const services = serviceChecks(device);
  const kind = type.querySelector("select") as HTMLSelectElement;
  if (!device) kind.addEventListener("change", () => tick(services, kind.value === "WS" ? OF_WORKSTATION : OF_MODALITY));
  const certificate = h("input", { class: "input", type: "file", id: "form-certificate", name: "certificate", accept: ".pem,.crt,.cer" });
  const body = [
    !device && input("ae_title", t("ui.admin.device.ae"), "", { maxlength: 16, required: true }),
    input("name", t("ui.admin.device.name"), device?.name ?? "", { maxlength: 64 }),
    type,
    input("address_range", t("ui.admin.form.address_range"), device?.address_range ?? "", { maxlength: 64, required: true, placeholder: "10.21.3.11/32" }),
    input("quiet_time_s", t("ui.admin.form.quiet_s"), device?.quiet_time_s ?? "", { inputmode: "numeric", maxlength: 4 }),
    select("fallback_character_set", t("ui.admin.device.charset_in"), device?.fallback_character_set ?? "GB18030", CHARACTER_SETS),
    select("character_set", t("ui.admin.device.charset_out"), device?.character_set ?? "ISO_IR 192", CHARACTER_SETS),
    wide(field(t("ui.admin.device.services"), services)),
    head(t("ui.admin.device.trust")),
    wide(h("p", { class: "hint" }, t("ui.admin.device.trust_hint"))),
    field(t("ui.admin.device.certificate"), certificate),
    h("div", { class: "field" }, h("span", { class: "caption" }, t("ui.admin.device.fingerprint")), knownCertificate(device)),
    wide(input("exception_reason", t("ui.admin.device.exception"), device?.exception_reason ?? "", { maxlength: 256 })),
    select("sees", t("ui.admin.device.sees"), device?.sees ?? "site", [["site", t("ui.admin.device.sees.site")], ["all", t("ui.admin.device.sees.all")]]),
    input("move_destinations", t("ui.admin.device.destinations"), device?.move_destinations.join(", ") ?? "", { maxlength: 200, placeholder: "QS_PACS, QS_WS" }),
    input("performs_as", t("ui.admin.device.performs_as"), device?.performs_as ?? "", { maxlength: 64, autocomplete: "off" }),
    head(t("ui.admin.device.reach")),
    input("host", t("ui.admin.form.host"), device?.host ?? "", { maxlength: 255 }),
    input("port", t("ui.admin.form.port"), device?.port ?? "", { inputmode: "numeric", maxlength: 5 }),
    device?.host && device.port ? wide(echoTest(device)) : wide(h("p", { class: "hint" }, t("ui.admin.device.reach_hint"))),
    device && wide(h("div", { id: "device-refusals" })),
    device && wide(check("enabled", t("ui.admin.device.enabled"), device.enabled)),
    wide(h("p", { class: "hint" }, t("page.admin.quiet_hint"))),
  ];
  show(device ? t("page.admin.edit_device", { name: device.ae_title }) : t("page.admin.new_device", { site: siteName(site) }), "device", body,
    (fields) => save(device, site, fields, certificate), changed);
  if (device) void showRefusals(device);
}

async function save(device: Device | null, site: Site, fields: FormData, certificate: HTMLInputElement): Promise<unknown> {
  const values: Record<string, unknown> = {
    name: text(fields, "name"), modality: text(fields, "modality"), address_range: text(fields, "address_range"),
    fallback_character_set: text(fields, "fallback_character_set"), character_set: text(fields, "character_set"),
    services: fields.getAll("services").map(String), sees: text(fields, "sees"), exception_reason: text(fields, "exception_reason") || null,
    move_destinations: text(fields, "move_destinations").split(/[,，、;；]+/).map((title) => title.trim()).filter(Boolean),
    performs_as: text(fields, "performs_as") || null, host: text(fields, "host") || null, port: number(fields, "port", t("ui.admin.form.port")),
  };
  const quiet = number(fields, "quiet_time_s", t("ui.admin.form.quiet_s"));
  if (quiet !== null) values["quiet_time_s"] = quiet;
  const file = certificate.files?.[0];
  if (file) values["certificate_pem"] = await file.text();
  else if (fields.has("forget_certificate")) values["certificate_sha256"] = null;
  if (!device) return server.post("/api/admin/devices", { ...values, site: site.code, ae_title: text(fields, "ae_title") });
  return server.patch(`/api/admin/devices/${encodeURIComponent(device.ae_title)}`, { ...values, enabled: fields.has("enabled") });
}

function serviceChecks(device: Device | null): HTMLElement {
  return h("div", { class: "checks-grid", id: "form-services" },
    ...SERVICES.map((service) => check("services", t(`ui.admin.service_long.${service}`), device?.services.includes(service) ?? OF_MODALITY.has(service), service)));
}

function tick(services: HTMLElement, chosen: ReadonlySet<string>): void {
  for (const box of services.querySelectorAll<HTMLInputElement>("input")) box.checked = chosen.has(box.value);
}

function knownCertificate(device: Device | null): HTMLElement {
  if (!device?.certificate_sha256) return h("span", { class: "tx3" }, t("ui.admin.device.no_certificate"));
  const end = device.certificate_valid_until;
  const short = `${device.certificate_sha256.slice(0, 16)}…`;
  return h("span", { class: "pair" },
    h("span", { class: "mono", title: device.certificate_sha256 }, short),
    end && h("span", { class: Date.parse(end) < Date.now() ? "red" : "tx2" }, t("ui.admin.device.certificate_until", { date: fullDate(end) })),
    check("forget_certificate", t("ui.admin.device.forget_certificate"), false));
}

function echoTest(device: Device): HTMLElement {
  const said = h("span", { class: "echo", role: "status" });
  const test = async (): Promise<void> => {
    button.disabled = true;
    fill(said, t("page.admin.testing"));
    try {
      const { tone, text: result } = echoWords(await server.post<Echo>(`/api/admin/devices/${encodeURIComponent(device.ae_title)}/echo`));
      fill(said, h("span", { class: `pair ${tone}` }, h("i", { class: "dot" }), result));
    } catch (error) {
      fill(said, h("span", { class: "red" }, words(error)));
    }
    button.disabled = false;
  };
  const button = h("button", { class: "link", type: "button", onclick: () => void test() }, t("page.admin.test"));
  return h("div", { class: "pair" }, h("span", { class: "mono" }, `${device.ae_title}@${device.host}:${device.port}`), button, said);
}

/** A device that cannot get in: when, from where, and which rule it met. */
async function showRefusals(device: Device): Promise<void> {
  const { refusals } = await server.get<{ refusals: Refusal[] }>(`/api/admin/refusals?ae_title=${encodeURIComponent(device.ae_title)}`).catch(() => ({ refusals: [] as Refusal[] }));
  const place = document.getElementById("device-refusals");
  if (!place || refusals.length === 0) return;
  fill(place, h("h3", { class: "form-head" }, t("ui.admin.device.refused")),
    h("ul", { class: "refusals" }, ...refusals.slice(0, 5).map((one) => h("li", {},
      h("span", { class: "tx2" }, moment(one.at)), ` ${one.address ?? ""} → ${one.called_ae_title} `, h("b", { class: "red" }, refusalWords(one.reason))))));
}
