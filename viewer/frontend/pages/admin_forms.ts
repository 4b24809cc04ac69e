/** Dialogs in which sites and people are added and changed. */
import { t } from "../i18n.ts";
import { server } from "../server.ts";
import { field, openDialog } from "../ui/dialog.ts";
import { siteName } from "../ui/format.ts";
import { h } from "../ui/h.ts";
import type { Person, Site } from "./admin_data.ts";
import { type Changed, check, type Choice, head, input, number, say, select, show, text, wide } from "./admin_form_parts.ts";

const ROLES = ["technician", "clinician", "reader", "reviewer", "trainee", "manager", "admin"] as const;
const READING_ROLES = new Set(["reader", "reviewer", "trainee"]);

export function siteForm(site: Site | null, changed: Changed): void {
  const rule = site?.signatures_by_modality ?? { "*": 1 };
  const signers: readonly Choice[] = [["1", t("page.admin.signers", { n: 1 })], ["2", t("page.admin.signers", { n: 2 })]];
  const body = [
    !site && input("code", t("ui.admin.form.code"), "", { maxlength: 32, required: true, placeholder: "QINGSHAN" }),
    input("name_zh", t("ui.admin.form.name_zh"), site?.name ?? "", { maxlength: 128, required: true }),
    input("name_en", t("ui.admin.form.name_en"), site?.name_en ?? "", { maxlength: 128 }),
    input("accession_prefix", t("page.admin.prefix"), site?.accession_prefix ?? "", { maxlength: 4, placeholder: "QS" }),
    head(t("ui.admin.fact.signatures")),
    select("ct", "CT", String(rule["CT"] ?? rule["*"] ?? 1), signers),
    select("other", t("page.admin.others"), String(rule["*"] ?? 1), signers),
    head(t("ui.admin.fact.return")),
    input("return_ae_title", t("ui.admin.form.return_ae"), site?.return_ae_title ?? "", { maxlength: 16 }),
    input("return_host", t("ui.admin.form.host"), site?.return_host ?? "", { maxlength: 255 }),
    input("return_port", t("ui.admin.form.port"), site?.return_port ?? "", { inputmode: "numeric", maxlength: 5 }),
    select("return_character_set", t("ui.admin.fact.charset"), site?.return_character_set ?? "ISO_IR 192", [["ISO_IR 192", "ISO_IR 192 (UTF-8)"], ["GB18030", "GB18030"]]),
    wide(h("p", { class: "hint" }, t("page.admin.return_hint"))),
    wide(h("div", { class: "pair" }, check("reads", t("ui.admin.fact.reads"), site?.reads ?? false), site && check("enabled", t("ui.admin.device.enabled"), site.enabled))),
  ];
  const save = (fields: FormData): Promise<unknown> => {
    const values: Record<string, unknown> = {
      name_zh: text(fields, "name_zh"), name_en: text(fields, "name_en"), reads: fields.has("reads"),
      signatures_by_modality: { ...rule, CT: Number(text(fields, "ct")), "*": Number(text(fields, "other")) },
      return_ae_title: text(fields, "return_ae_title") || null, return_host: text(fields, "return_host") || null,
      return_port: number(fields, "return_port", t("ui.admin.form.port")), return_character_set: text(fields, "return_character_set"),
      accession_prefix: text(fields, "accession_prefix").toUpperCase() || null,
    };
    if (!site) return server.post("/api/admin/sites", { ...values, code: text(fields, "code") });
    return server.patch(`/api/admin/sites/${site.code}`, { ...values, enabled: fields.has("enabled") });
  };
  show(site ? t("page.admin.edit_site", { name: siteName(site) }) : t("page.admin.new_site"), "building", body, save, changed);
}

export function personForm(person: Person | null, sites: readonly Site[], changed: Changed): void {
  const role = person?.role ?? "technician";
  const kinds = wide(field(t("ui.admin.user.kinds"), h("div", { class: "pair", id: "form-kinds" },
    ...["image", "ecg"].map((kind) => check("kinds", t(`ui.admin.user.kind.${kind}`), person?.kinds.includes(kind) ?? false, kind)))));
  const roleField = select("role", t("ui.admin.user.role"), role, ROLES.map((code) => [code, t(`ui.role.${code}`)]));
  const chosen = roleField.querySelector("select") as HTMLSelectElement;
  const adapt = (): void => { kinds.hidden = !READING_ROLES.has(chosen.value); };
  chosen.addEventListener("change", adapt);
  adapt();
  const body = [
    !person && input("username", t("ui.admin.user.username"), "", { maxlength: 32, required: true }),
    input("name", t("ui.admin.user.name"), person?.name ?? "", { maxlength: 64, required: true }),
    input("name_en", t("ui.admin.form.name_en"), person?.name_en ?? "", { maxlength: 64 }),
    roleField,
    select("site", t("ui.admin.user.site"), person?.site ?? sites[0]?.code ?? "", sites.map((site) => [site.code, siteName(site)])),
    kinds,
    input("licence_number", t("ui.admin.user.licence"), person?.licence_number ?? "", { maxlength: 32 }),
    input("licence_valid_until", t("page.admin.licence_until"), person?.licence_valid_until ?? "", { maxlength: 10, placeholder: "2028-06-30" }),
    !person && input("password", t("ui.admin.user.password"), "", { type: "password", required: true, autocomplete: "new-password" }),
    person && wide(check("enabled", t("page.admin.may_log_in"), person.enabled)),
  ];
  const save = (fields: FormData): Promise<unknown> => {
    const values: Record<string, unknown> = {
      name: text(fields, "name"), name_en: text(fields, "name_en"), role: text(fields, "role"), site: text(fields, "site"),
      kinds: READING_ROLES.has(text(fields, "role")) ? fields.getAll("kinds").map(String) : [], licence_number: text(fields, "licence_number"),
      licence_valid_until: text(fields, "licence_valid_until") || null,
    };
    if (!person) return server.post("/api/admin/users", { ...values, username: text(fields, "username"), password: String(fields.get("password") ?? "") });
    return server.patch(`/api/admin/users/${person.username}`, { ...values, enabled: fields.has("enabled") });
  };
  const hasKey = person?.signing_key.state === "valid" || person?.signing_key.state === "locked";
  show(person ? t("page.admin.edit_user", { name: person.name }) : t("page.admin.new_user"), "user", body, save, changed, hasKey ? t("page.admin.key_consequence") : undefined);
}

export function passwordForm(person: Person, changed: Changed): void {
  openDialog({
    title: t("page.admin.new_password", { name: person.name }), icon: "key", size: "narrow", consequence: t("page.admin.password_consequence"),
    body: [input("password", t("ui.admin.user.password"), "", { type: "password", required: true, autocomplete: "new-password" })],
    primary: { words: t("ui.admin.form.save"), run: async (fields) => { await server.post(`/api/admin/users/${person.username}/password`, { password: String(fields.get("password") ?? "") }); say(changed); } },
  });
}

export function revokeKeyForm(person: Person, changed: Changed): void {
  const reasons = ["superseded", "key_compromise", "cessation_of_operation"].map((code): Choice => [code, t(`page.admin.revocation.${code}`)]);
  openDialog({
    title: t("page.admin.revoke_key", { name: person.name }), icon: "key", consequence: t("page.admin.revoke_key_consequence"),
    body: [select("reason", t("ui.dialog.reason"), "superseded", reasons), h("p", { class: "caption mono" }, person.signing_key.serial ?? "")],
    primary: { words: t("page.admin.revoke_key_do"), isDanger: true, run: async (fields) => { await server.post(`/api/admin/users/${person.username}/signing-key/revoke`, { reason: text(fields, "reason") }); say(changed); } },
  });
}
