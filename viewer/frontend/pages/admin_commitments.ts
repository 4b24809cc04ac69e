/** 存储承诺: what devices asked us to keep and what we asked of other systems; how each stands, and what can be done. */
import { t } from "../i18n.ts";
import { server } from "../server.ts";
import { moment, siteName, timeWithSeconds } from "../ui/format.ts";
import { byId, type Child, fill, h } from "../ui/h.ts";
import { toast, told } from "../ui/toast.ts";
import { outcomeWords, type Site } from "./admin_data.ts";
import { KeyedRows } from "./keyed.ts";
import { segment } from "./segment.ts";
import { emptyState } from "./states.ts";

interface Commitment {
  commitment_id: number;
  direction: "asked" | "asking";
  transaction_uid: string;
  peer: string;
  site: string | null;
  state: "REQUESTED" | "CHECKED" | "TOLD" | "ANSWERED" | "DEAD";
  is_duplicate: boolean;
  n_instances: number;
  n_failed: number;
  reasons: { reason: string; n: number }[];
  n_attempts: number;
  last_error: string | null;
  requested_at: string;
  ended_at: string | null;
}

type Filter = "all" | "open" | "failed";

const KNOWN_REASONS = new Set(["0110", "0112", "0119", "0131"]);

const isOpen = (one: Commitment): boolean => one.state === "REQUESTED" || one.state === "CHECKED";
const isFailed = (one: Commitment): boolean => one.state === "DEAD" || one.n_failed > 0;
const passes: Readonly<Record<Filter, (one: Commitment) => boolean>> = { all: () => true, open: isOpen, failed: isFailed };

export class CommitmentsPane {
  #all: readonly Commitment[] = [];
  readonly #rows = new KeyedRows(byId("commitment-rows"));
  readonly #filter = segment(byId("commitment-filter"), "filter", () => this.#draw());

  constructor(private readonly sites: () => readonly Site[]) {}

  async load(): Promise<void> {
    this.#all = (await server.get<{ commitments: Commitment[] }>("/api/admin/commitments")).commitments;
    this.#draw();
  }

  #draw(): void {
    for (const button of byId("commitment-filter").querySelectorAll<HTMLElement>("[data-filter]")) {
      fill(button.querySelector("[data-n]") as Element, this.#all.filter(passes[button.dataset["filter"] as Filter]).length);
    }
    const shown = this.#all.filter(passes[this.#filter.value as Filter]);
    this.#rows.show(shown, (one) => String(one.commitment_id), (one) => this.#row(one));
    fill(byId("commitment-rows-state"), shown.length === 0 && emptyState("check", t("ui.admin.commitments_empty")));
  }

  #row(one: Commitment): HTMLElement {
    const site = this.sites().find((found) => found.code === one.site);
    return h("tr", { "data-commitment": one.commitment_id, "data-state": one.state },
      h("td", { class: "tx2" }, moment(one.requested_at)),
      h("td", {}, t(`ui.admin.commitment.direction.${one.direction}`)),
      h("td", { class: "mono", title: one.transaction_uid }, one.peer),
      h("td", {}, site ? siteName(site) : "—"),
      h("td", { class: "wraps" }, ...this.#objects(one)),
      h("td", {}, stateWords(one)),
      h("td", {}, one.n_attempts),
      h("td", { class: "tx2 wraps" }, outcomeWords(one.last_error) || "—"),
      h("td", { class: "tx2" }, one.ended_at ? timeWithSeconds(one.ended_at) : "—"),
      h("td", { class: "actions" }, one.state === "DEAD" && h("button", { class: "link", type: "button", onclick: (event) => told(this.#again(one, event.currentTarget as HTMLButtonElement)) },
        t(one.direction === "asked" ? "ui.admin.commitment.tell_again" : "ui.admin.commitment.ask_again"))));
  }

  /** How many are kept, and why the others are not. */
  #objects(one: Commitment): Child[] {
    const isKnown = one.state !== "REQUESTED" && !(one.direction === "asking" && one.state === "DEAD");
    const words = isKnown ? t("ui.admin.commitment.kept", { n: one.n_instances - one.n_failed, total: one.n_instances }) : t("ui.admin.commitment.n_objects", { n: one.n_instances });
    const why = one.reasons.map(({ reason, n }) => t("ui.admin.commitment.not_kept", { n, why: KNOWN_REASONS.has(reason) ? t(`ui.admin.commitment.reason.${reason}`) : `${reason}H` }));
    return [words, why.length > 0 && h("small", { class: "below amber" }, why.join(t("ui.list_separator")))];
  }

  async #again(one: Commitment, button: HTMLButtonElement): Promise<void> {
    button.disabled = true;
    try {
      await server.post(`/api/admin/commitments/${one.commitment_id}/resend`);
      toast({ kind: "success", title: t("ui.admin.resent"), text: one.peer });
    } finally {
      button.disabled = false;
      told(this.load());
    }
  }
}

function stateWords(one: Commitment): HTMLElement {
  const key = one.state === "REQUESTED" || one.state === "DEAD" ? `${one.direction}.${one.state}` : one.state;
  const tone = one.state === "DEAD" ? "red" : isOpen(one) ? "amber" : one.n_failed > 0 ? "amber" : "green";
  return h("span", { class: `pair ${tone}` }, h("i", { class: "dot" }), t(`ui.admin.commitment.state.${key}`));
}
