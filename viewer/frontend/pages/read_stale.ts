/** The report was saved elsewhere meanwhile: both texts are shown, and a person says which holds. */
import { t } from "../i18n.ts";
import { server } from "../server.ts";
import { openDialog } from "../ui/dialog.ts";
import { timeWithSeconds } from "../ui/format.ts";
import { h } from "../ui/h.ts";
import type { Detail } from "./detail.ts";
import type { Draft } from "./read_draft.ts";

type Write = (sections: Record<string, string>, template: string) => void;

export async function askStale(draft: Draft, write: Write): Promise<void> {
  const { report } = await server.get<Detail>(`/api/workitems/${draft.workitemUid}`);
  if (!report) throw new Error(t("ui.report.stale"));
  const mine = { ...draft.text.sections };
  const { template } = draft.text;
  const takeTheirs = (): void => {
    draft.take(report);
    write(report.sections, report.template);
    dialog.close(false);
  };
  const dialog = openDialog({
    title: t("page.reader.stale_title"),
    icon: "alert",
    size: "wide",
    mayLeave: false,
    consequence: t("ui.report.stale"),
    body: [
      h("div", { class: "versions" },
        version(t("page.reader.stale_mine"), mine),
        version(t("page.reader.stale_theirs", { name: report.author, time: report.updated_at ? timeWithSeconds(report.updated_at) : "" }), report.sections)),
      h("button", { class: "btn", type: "button", onclick: takeTheirs }, t("page.reader.stale_take_theirs")),
    ],
    primary: {
      words: t("page.reader.stale_keep_mine"),
      run: () => {
        draft.take(report);
        draft.change({ template, sections: mine }); // goes out as the next saving
      },
    },
  });
  await dialog.done;
}

function version(title: string, sections: Record<string, string>): HTMLElement {
  return h("section", {}, h("h3", {}, title),
    h("div", { class: "order-text scroll" }, h("p", { class: "tx3" }, t("ui.report.findings")), h("p", {}, sections["findings"] || "—"), h("p", { class: "tx3" }, t("ui.report.impression")), h("p", {}, sections["impression"] || "—")));
}
