/** What can hang in a viewport: the series of the study, films one by one, and the priors behind them. */
import type { DisplayStudy, Series } from "../engine/engine.ts";
import { isFilm } from "./detail.ts";

export interface Hang {
  /** Stable over reloads of the display data. */
  key: string;
  studyUid: string;
  series: Series;
  isPrior: boolean;
  /** The series it is of: films of one series hang one by one. */
  seriesUid: string;
}

export type Layout = "1x1" | "1x2" | "2x2";
export const PANES: Readonly<Record<Layout, number>> = { "1x1": 1, "1x2": 2, "2x2": 4 };
export const LAYOUTS: readonly Layout[] = ["1x1", "1x2", "2x2"];

export function hangsOf(display: DisplayStudy, isPrior: boolean): Hang[] {
  const shown = display.series
    .map((series) => ({ ...series, instances: series.instances.filter((instance) => instance.state !== "none") }))
    .filter((series) => series.instances.length > 0);
  return shown.flatMap((series): Hang[] => {
    const base = { studyUid: display.study_instance_uid, isPrior, seriesUid: series.series_instance_uid };
    if (!isFilm(series.modality) || series.instances.length === 1) return [{ ...base, key: series.series_instance_uid, series }];
    return series.instances.map((instance) => {
      const key = `${series.series_instance_uid}#${instance.sop_instance_uid}`;
      return { ...base, key, series: { ...series, series_instance_uid: key, instances: [instance] } };
    });
  });
}

export function isPending(display: DisplayStudy): boolean {
  return display.series.some((series) => series.instances.some((instance) => instance.state === "pending"));
}

/** A prior of the same kind hangs beside by itself; two films hang side by side. */
export function firstLayout(current: Hang[], priors: Hang[]): Layout {
  const isFilms = current.length > 0 && isFilm(current[0]?.series.modality ?? "");
  if (priors.length > 0) return "1x2";
  return isFilms && current.length > 2 ? "2x2" : isFilms && current.length === 2 ? "1x2" : "1x1";
}

/** What hangs where: in two panes the prior stands beside the present picture. */
export function arrange(layout: Layout, current: Hang[], priors: Hang[]): (Hang | null)[] {
  const n = PANES[layout];
  const biggestFirst = [...current].sort((a, b) => Number(isFilm(a.series.modality) ? 0 : b.series.instances.length - a.series.instances.length));
  const prior = [...priors].sort((a, b) => b.series.instances.length - a.series.instances.length);
  if (n === 1) return [biggestFirst[0] ?? null];
  const order = prior.length ? (n === 2 ? [biggestFirst[0], prior[0]] : [biggestFirst[0], prior[0], ...biggestFirst.slice(1), ...prior.slice(1)]) : biggestFirst;
  return Array.from({ length: n }, (_, index) => order[index] ?? null);
}
