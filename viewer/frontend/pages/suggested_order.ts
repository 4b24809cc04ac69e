/** An order that may belong to this study: a person confirms it or refuses it, never the machine. */
import { t } from "../i18n.ts";
import { server } from "../server.ts";
import { moment, sexAndAge } from "../ui/format.ts";
import { h } from "../ui/h.ts";
import type { Me } from "../ui/item.ts";
import { me } from "../ui/item.ts";
import { failToast, toast } from "../ui/toast.ts";
import type { Detail } from "./detail.ts";

type Suggested = NonNullable<Detail["suggested_order"]>;

export function suggestedOrder(detail: Detail, order: Suggested, changed: () => void, person: Me = me()): HTMLElement {
  const answer = (uid: string | null) => async (): Promise<void> => {
    try {
      await server.post(`/api/studies/${detail.study_instance_uid}/order`, { order_uid: uid });
      toast({ kind: "success", title: t(uid ? "page.reader.match_confirmed" : "page.reader.match_refused") });
      changed();
    } catch (error) {
      failToast(t("page.reader.match_failed"), error);
    }
  };
  return h("section", { class: "suggested" },
    h("h3", {}, h("span", {}, t(order.made_from_object ? "page.tech.retake_title" : "page.reader.match_title")), h("span", { class: "chip dashed" }, t("page.reader.match_machine"))),
    h("p", {}, h("b", {}, order.patient.name), ` ${sexAndAge(order.patient)} · ${order.accession_number} · ${moment(order.created_at)}`),
    h("p", { class: "tx2" }, [order.complaint, order.question].filter(Boolean).join(" · ") || "—"),
    person.role !== "trainee" && h("div", { class: "pair" },
      h("button", { class: "btn small", type: "button", onclick: () => void answer(order.order_uid)() }, t("page.reader.match_confirm")),
      h("button", { class: "btn small plain", type: "button", onclick: () => void answer(null)() }, t("page.reader.match_refuse"))));
}
