/** 隔离区: objects that cannot be used or conflict; why, their header, and how a person settled it. */
import { t } from "../i18n.ts";
import { server } from "../server.ts";
import { field, openDialog } from "../ui/dialog.ts";
import { bytes, moment, siteName } from "../ui/format.ts";
import { byId, fill, h, icon } from "../ui/h.ts";
import { toast, told } from "../ui/toast.ts";
import type { Kept, Site } from "./admin_data.ts";
import { KeyedRows } from "./keyed.ts";
import { emptyState } from "./states.ts";

interface Element {
  tag: string;
  keyword: string;
  vr: string;
  value: string;
}

const UID_TAIL = 18;

export class QuarantinePane {
  readonly #rows = new KeyedRows(byId("quarantine-rows"));
  count = 0;

  constructor(private readonly sites: () => readonly Site[]) {}

  async load(): Promise<void> {
    const { objects } = await server.get<{ objects: Kept[] }>("/api/admin/quarantine");
    this.count = objects.length;
    this.#rows.show(objects, (kept) => String(kept.quarantine_id), (kept) => this.#row(kept));
    fill(byId("quarantine-rows-state"), objects.length === 0 && emptyState("check", t("page.admin.quarantine_empty"), h("p", {}, t("page.admin.quarantine_empty_note"))));
  }

  #row(kept: Kept): HTMLElement {
    const site = this.sites().find((one) => one.code === kept.site);
    const uid = kept.sop_instance_uid;
    return h("tr", { "data-quarantine": kept.quarantine_id },
      h("td", { class: "tx2" }, moment(kept.received_at)),
      h("td", { class: "mono" }, kept.source || "—"),
      h("td", {}, site ? siteName(site) : "—"),
      h("td", { class: "wraps" }, kept.reason_text, kept.seen_reason && h("small", { class: "below" }, t("page.admin.seen_by_reader", { reason: kept.seen_reason }))),
      h("td", { class: "mono", title: uid }, uid ? `…${uid.slice(-UID_TAIL)}` : "—"),
      h("td", {}, bytes(kept.size_bytes)),
      h("td", { class: "actions" },
        h("button", { class: "link", type: "button", onclick: () => told(this.#headers(kept)) }, t("page.admin.headers")),
        kept.study_instance_uid && h("a", { class: "link", href: `/admin/repair#${kept.study_instance_uid}` }, t("page.repair.title")),
        h("button", { class: "link", type: "button", onclick: () => this.#settle(kept) }, t("ui.admin.quarantine.resolve"))));
  }

  async #headers(kept: Kept): Promise<void> {
    const { elements } = await server.get<{ elements: Element[] }>(`/api/admin/quarantine/${kept.quarantine_id}/headers`);
    const table = h("table", { class: "office-table header-table" },
      h("thead", {}, h("tr", {}, ...["tag", "keyword", "vr", "value"].map((name) => h("th", {}, t(`page.admin.header.${name}`))))),
      h("tbody", {}, ...elements.map((one) => h("tr", {}, h("td", { class: "mono" }, one.tag), h("td", {}, one.keyword), h("td", { class: "mono tx2" }, one.vr), h("td", { class: "wraps" }, one.value)))));
    openDialog({
      title: t("page.admin.headers_title"), icon: "file", size: "document", back: t("ui.dialog.close"), note: kept.reason_text,
      body: [elements.length > 0 ? h("div", { class: "scroll", tabindex: 0 }, table) : emptyState("alert", t("page.admin.no_header"))],
    });
  }

  #settle(kept: Kept): void {
    const input = h("textarea", { class: "textarea", name: "resolution", rows: 3, maxlength: 256, autofocus: true });
    const usual = ["keep_first", "resent", "unusable"].map((code) => h("button", { class: "btn small", type: "button", onclick: () => { input.value = t(`page.admin.settle.${code}`); input.focus(); } }, t(`page.admin.settle.${code}`)));
    openDialog({
      title: t("page.admin.settle_title"), icon: "archive", consequence: t("page.admin.settle_consequence"),
      body: [h("p", {}, h("span", { class: "pair amber" }, icon("alert"), kept.reason_text)), h("div", { class: "usual" }, ...usual), field(t("ui.admin.quarantine.reason_field"), input, true)],
      primary: {
        words: t("ui.admin.quarantine.resolve"),
        run: async (fields) => {
          const resolution = String(fields.get("resolution") ?? "").trim();
          if (!resolution) throw new Error(t("page.admin.settle_missing"));
          await server.post(`/api/admin/quarantine/${kept.quarantine_id}/settle`, { resolution });
          toast({ kind: "success", title: t("page.admin.settled") });
          await this.load();
        },
      },
    });
  }
}
