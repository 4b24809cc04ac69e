/** /reports/{uid}: one report with its pictures, its versions and how far it got. */
import { t } from "../i18n.ts";
import { byId, fill } from "../ui/h.ts";
import type { WorklistItem } from "../ui/item.ts";
import { OneAtATime } from "../ui/one_at_a_time.ts";
import { startShell } from "../ui/shell.ts";
import { failToast } from "../ui/toast.ts";
import { loadItems } from "./items.ts";
import { ReportImages } from "./report_images.ts";
import { connectReportActions, loadReport, type Report, showReport } from "./report_view.ts";
import { SignOff } from "./signoff.ts";
import { errorState } from "./states.ts";
import { leading } from "./studies.ts";

export function report(): void {
  const page = new ReportPage(document.body.dataset["report"] ?? "");
  const { live } = startShell(() => void page.load());
  live.subscribe((message) => page.concerns(message["study_instance_uid"]) && void page.load());
  void page.load();
}

class ReportPage {
  readonly #images = new ReportImages();
  readonly #signOff = new SignOff(() => void this.load());
  #report: Report | null = null;
  readonly #loader = new OneAtATime(() => this.#load());

  constructor(private readonly uid: string) {
    connectReportActions(() => this.#report);
  }

  concerns(studyUid: unknown): boolean {
    return studyUid === this.#report?.study_instance_uid;
  }

  load(): Promise<void> {
    return this.#loader.ask();
  }

  async #load(): Promise<void> {
    try {
      const found = await loadReport(this.uid);
      const item: WorklistItem | null = leading(await loadItems({ study_instance_uid: found.study_instance_uid }));
      this.#report = found;
      showReport(found, item);
      this.#signOff.show(found, item);
      if (item) await this.#images.show(item);
    } catch (error) {
      if (this.#report) return void failToast(t("page.load_failed"), error);
      byId("report-body").hidden = true;
      byId("report-state").hidden = false;
      fill(byId("report-state"), errorState(error, () => void this.load()));
    }
  }
}
