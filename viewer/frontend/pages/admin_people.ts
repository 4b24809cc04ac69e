/** 用户与资质, 会话与令牌: who may do what, and which log-ins are open. */
import { t } from "../i18n.ts";
import { server } from "../server.ts";
import { openDialog } from "../ui/dialog.ts";
import { moment, siteName } from "../ui/format.ts";
import { byId, type Child, fill, h } from "../ui/h.ts";
import { me } from "../ui/item.ts";
import { toast, told } from "../ui/toast.ts";
import type { Person, Site } from "./admin_data.ts";
import { passwordForm, personForm, revokeKeyForm } from "./admin_forms.ts";
import { KeyedRows } from "./keyed.ts";
import { emptyState } from "./states.ts";

interface Login {
  sitting: string;
  kind: "browser" | "token" | "basic";
  username: string;
  source: string;
  created_at: string;
  last_seen_at: string;
  expires_at: string;
}

const KEY_TONES: Readonly<Record<Person["signing_key"]["state"], string>> = { valid: "green", locked: "red", expired: "amber", revoked: "tx3", none: "tx3" };

export class UsersPane {
  readonly #rows = new KeyedRows(byId("user-rows"));
  #people: Person[] = [];

  constructor(private readonly sites: () => readonly Site[]) {
    byId("add-user").addEventListener("click", () => personForm(null, this.sites(), () => told(this.load())));
  }

  nameOf(username: string): string {
    return this.#people.find((person) => person.username === username)?.name ?? "";
  }

  async load(): Promise<void> {
    this.#people = (await server.get<{ users: Person[] }>("/api/admin/users")).users;
    this.#rows.show(this.#people, (person) => person.username, (person) => this.#row(person));
    fill(byId("user-rows-state"));
  }

  #row(person: Person): HTMLElement {
    const site = this.sites().find((one) => one.code === person.site);
    const changed = (): void => told(this.load());
    const action = (words: string, run: () => void): HTMLElement => h("button", { class: "link", type: "button", onclick: run }, words);
    const hasKey = person.signing_key.state === "valid" || person.signing_key.state === "locked";
    return h("tr", { "data-user": person.username, class: person.enabled ? null : "off" },
      h("td", {}, h("b", { class: "mono" }, person.username)),
      h("td", {}, h("b", {}, person.name), " ", h("span", { class: "tx3" }, person.name_en)),
      h("td", {}, t(`ui.role.${person.role}`)),
      h("td", {}, site ? siteName(site) : person.site),
      h("td", {}, person.kinds.map((kind) => t(`ui.admin.user.kind.${kind}`)).join(" · ") || "—"),
      h("td", {}, person.licence_number ? h("span", {}, h("span", { class: "mono" }, person.licence_number), h("small", { class: "below" }, t("page.admin.until", { date: person.licence_valid_until ?? "—" }))) : "—"),
      h("td", {}, ...keyState(person)),
      h("td", {}, personState(person)),
      h("td", { class: "actions" },
        person.locked_until && action(t("ui.admin.user.unlock"), () => told(this.#unlock(person))),
        hasKey && action(t("page.admin.revoke_key_short"), () => revokeKeyForm(person, changed)),
        action(t("page.admin.password"), () => passwordForm(person, changed)),
        action(t("ui.admin.edit"), () => personForm(person, this.sites(), changed))));
  }

  async #unlock(person: Person): Promise<void> {
    await server.post(`/api/admin/users/${person.username}/unlock`);
    toast({ kind: "success", title: t("page.admin.unlocked", { name: person.name }) });
    await this.load();
  }
}

function keyState(person: Person): Child[] {
  const { state, serial, valid_until: until } = person.signing_key;
  if (state === "none") return ["—"];
  return [
    h("span", { class: KEY_TONES[state] }, t(`page.admin.key.${state}`)),
    h("small", { class: "below" }, h("span", { class: "mono" }, (serial ?? "").slice(0, 8)), until && ` ${t("page.admin.until", { date: until.slice(0, 10) })}`),
  ];
}

function personState(person: Person): HTMLElement {
  if (!person.enabled) return h("span", { class: "chip" }, t("ui.admin.user.disabled"));
  if (person.locked_until) return h("span", { class: "chip red" }, t("page.admin.locked_until", { time: moment(person.locked_until) }));
  return h("span", { class: "green" }, t("ui.admin.user.enabled"));
}

export class TokensPane {
  readonly #rows = new KeyedRows(byId("token-rows"));
  #own = "";

  constructor(private readonly nameOf: (username: string) => string) {}

  async load(): Promise<void> {
    this.#own ||= (await server.get<{ sitting: string }>("/api/session")).sitting;
    const { items } = await server.get<{ items: Login[] }>("/api/tokens");
    this.#rows.show(items, (login) => login.sitting, (login) => this.#row(login));
    fill(byId("token-rows-state"), items.length === 0 && emptyState("key", t("ui.admin.none")));
  }

  #row(login: Login): HTMLElement {
    const isOwn = login.sitting === this.#own;
    return h("tr", { "data-sitting": login.sitting, "data-user": login.username },
      h("td", {}, h("b", { class: "mono" }, login.username), " ", h("span", { class: "tx2" }, this.nameOf(login.username) || (login.username === me().username ? me().name : ""))),
      h("td", {}, h("span", { class: `chip ${login.kind === "token" ? "accent" : "outline"}` }, t(`ui.admin.token.kind.${login.kind}`))),
      h("td", { class: "mono" }, login.source || "—"),
      h("td", { class: "tx2" }, moment(login.created_at)),
      h("td", { class: "tx2" }, moment(login.last_seen_at)),
      h("td", { class: "tx2" }, moment(login.expires_at)),
      h("td", { class: "actions" }, isOwn ? h("span", { class: "tx3" }, t("page.admin.this_login"))
        : h("button", { class: "link red", type: "button", onclick: () => this.#revoke(login) }, t("ui.admin.token.revoke"))));
  }

  #revoke(login: Login): void {
    openDialog({
      title: t("page.admin.revoke_title", { name: login.username }), icon: "key", size: "narrow",
      consequence: t(login.kind !== "browser" ? "page.admin.revoke_token_consequence" : "ui.admin.token.revoke_consequence"),
      primary: {
        words: t("ui.admin.token.revoke"), isDanger: true,
        run: async () => {
          await server.delete(`/api/tokens/${login.sitting}`);
          toast({ kind: "success", title: t("page.admin.revoked", { name: login.username }) });
          await this.load();
        },
      },
    });
  }
}
