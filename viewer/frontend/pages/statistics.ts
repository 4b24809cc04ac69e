/** /statistics: indicators with their n, times of lanes and sites, and what each number means; no persons. */
import { t } from "../i18n.ts";
import { server } from "../server.ts";
import { formatNumber, NO_BREAK_SPACE } from "../units.ts";
import { duration, fullDate, moment, siteName } from "../ui/format.ts";
import { byId, type Child, fill, h, icon } from "../ui/h.ts";
import { installRelogin } from "../ui/relogin.ts";
import { LANE_ICONS, LANE_TONES, type Lane } from "../ui/item.ts";
import { connectUserMenu } from "../ui/shell.ts";
import { segment } from "./segment.ts";
import { errorState, skeleton } from "./states.ts";

interface Kpi {
  code: string;
  value: number | null;
  unit: string;
  n: number;
  few: boolean;
}

interface Group {
  n: number;
  median_min: number | null;
  p90_min: number | null;
  in_time_percent: number | null;
  few: boolean;
}

interface Answer {
  period: string;
  from: string;
  to: string;
  few: number;
  kpis: Kpi[];
  lanes: (Group & { lane: Lane; limit_min: number | null; limits_min: number[] })[];
  sites: (Group & { code: string; name: string; name_en: string; oldest_unacknowledged_min: number | null })[];
  definition: Record<string, Record<"numerator" | "denominator" | "start" | "end" | "excluded", string>>;
}

const PARTS = ["numerator", "denominator", "start", "end", "excluded"] as const;
const WARN_UNACKNOWLEDGED_MIN = 120;

export function statistics(): void {
  installRelogin(server);
  connectUserMenu();
  const page = new StatisticsPage();
  void page.load();
}

class StatisticsPage {
  #answer: Answer | null = null;
  #chosen = "in_time";
  readonly #period = segment(byId("period"), "period", () => void this.load());

  async load(): Promise<void> {
    const period = this.#period.value;
    if (!this.#answer) fill(byId("kpis"), skeleton(3));
    try {
      const answer = await server.get<Answer>(`/api/statistics?period=${period}`);
      if (period !== this.#period.value) return;
      this.#answer = answer;
      this.#draw(answer);
    } catch (error) {
      fill(byId("kpis"), errorState(error, () => void this.load()));
    }
  }

  #draw(answer: Answer): void {
    const [from, to] = [fullDate(answer.from), fullDate(answer.to)];
    fill(byId("period-words"), from === to ? `${from} · ${t("page.stat.until", { time: moment(answer.to) })}` : `${from} – ${to}`);
    fill(byId("kpis"), ...answer.kpis.map((kpi) => this.#kpi(kpi)));
    const scale = Math.max(1, ...answer.lanes.flatMap((lane) => [lane.p90_min ?? 0, ...(lane.n > 0 ? lane.limits_min.slice(0, 1) : [])]));
    fill(byId("lane-rows"), ...answer.lanes.map((lane) => laneRow(lane, scale)));
    fill(byId("site-rows"), ...answer.sites.map(siteRow));
    this.#showDefinition(answer);
  }

  #kpi(kpi: Kpi): HTMLElement {
    const decimals = kpi.unit && kpi.value !== null && !Number.isInteger(kpi.value) ? 1 : 0;
    const unit = kpi.unit === "min" ? t("page.stat.min") : kpi.unit || t("page.stat.pieces");
    const note = kpi.code === "waiting" ? t("page.stat.now") : kpi.few ? t("page.stat.n_few", { n: formatNumber(kpi.n) }) : t("page.stat.n", { n: formatNumber(kpi.n) });
    return h("button", { class: "kpi", type: "button", "data-code": kpi.code, "aria-pressed": String(kpi.code === this.#chosen), onclick: () => this.#choose(kpi.code) },
      h("span", { class: "label" }, t(`ui.stat.kpi.${kpi.code}`)),
      h("span", { class: "figure" }, kpi.value === null ? "—" : formatNumber(kpi.value, decimals), kpi.value !== null && h("small", {}, unit)),
      h("div", { class: "note" }, note));
  }

  #choose(code: string): void {
    this.#chosen = code;
    for (const kpi of byId("kpis").querySelectorAll<HTMLElement>(".kpi")) kpi.setAttribute("aria-pressed", String(kpi.dataset["code"] === code));
    if (this.#answer) this.#showDefinition(this.#answer);
  }

  #showDefinition(answer: Answer): void {
    const parts = answer.definition[this.#chosen];
    fill(byId("definition-of"), t(`ui.stat.kpi.${this.#chosen}`));
    fill(byId("definition"), ...PARTS.flatMap((part): Child[] => [h("dt", {}, t(`ui.stat.${part}`)), h("dd", {}, parts?.[part] ?? "—")]));
  }
}

function number(...children: Child[]): HTMLElement {
  return h("td", { class: "num" }, ...children);
}

function minutes(value: number | null): string {
  if (value === null) return "—";
  if (value >= 60) return duration(value * 60_000);
  return `${formatNumber(value, Number.isInteger(value) ? 0 : 1)}${NO_BREAK_SPACE}${t("page.stat.min")}`;
}

function percent(group: Group): Child {
  if (group.in_time_percent === null) return "—";
  const bar = h("i");
  bar.style.setProperty("--share", String(group.in_time_percent / 100));
  return h("span", { class: "share" }, h("span", { class: "progress" }, bar), `${formatNumber(group.in_time_percent, 1)}${NO_BREAK_SPACE}%`);
}

function laneRow(lane: Answer["lanes"][number], scale: number): HTMLElement {
  const limits = lane.limits_min.map((limit) => minutes(limit)).join(" / ");
  return h("tr", { class: lane.few ? "too-few" : null, "data-lane": lane.lane, title: lane.few ? t("ui.stat.too_few") : null },
    h("td", {}, h("span", { class: `pair ${LANE_TONES[lane.lane] === "outline" ? "" : LANE_TONES[lane.lane]}` }, icon(LANE_ICONS[lane.lane]), h("b", {}, t(`ui.lane.${lane.lane}`)))),
    h("td", { class: "time-bar" }, timeBar(lane, scale)),
    number(formatNumber(lane.n)), number(minutes(lane.median_min)), number(minutes(lane.p90_min)), number(percent(lane)), number(limits || "—"));
}

/** The median as a bar, the P90 as a whisker, the shortest limit as a dashed line; minutes from the left. */
function timeBar(lane: Answer["lanes"][number], scale: number): HTMLElement {
  const place = (name: string, value: number | null): HTMLElement | null => {
    if (value === null) return null;
    const mark = h("i", { class: name });
    mark.style.setProperty("--at", `${Math.min(100, (100 * value) / scale).toFixed(2)}%`);
    return mark;
  };
  const [limit] = lane.limits_min;
  return h("span", { class: "timebar", "aria-hidden": "true" }, place("median", lane.median_min), place("p90", lane.p90_min), lane.n > 0 && limit !== undefined && place("limit", limit));
}

function siteRow(site: Answer["sites"][number]): HTMLElement {
  const waited = site.oldest_unacknowledged_min;
  const isLong = waited !== null && waited >= WARN_UNACKNOWLEDGED_MIN;
  return h("tr", { class: site.few ? "too-few" : null, "data-site": site.code, title: site.few ? t("ui.stat.too_few") : null },
    h("td", {}, siteName(site)),
    number(formatNumber(site.n)), number(minutes(site.median_min)), number(minutes(site.p90_min)), number(percent(site)),
    number(waited === null ? "—" : h("span", { class: isLong ? "amber" : null }, minutes(waited))));
}
