/** Moments, ages and durations as they stand on screen; moments in the site's zone, never the browser's. */
import { language, t, tOr } from "../i18n.ts";
import type { Age } from "./item.ts";
import { serverNow } from "./clock.ts";

type Moment = string | number | Date;

interface Parts {
  year: string;
  month: string;
  day: string;
  hour: string;
  minute: string;
  second: string;
}

const formats = new Map<string, Intl.DateTimeFormat>();

export function zone(): string {
  return typeof document === "undefined" ? "Asia/Shanghai" : (document.documentElement.dataset["timezone"] ?? "Asia/Shanghai");
}

function parts(moment: Moment, timeZone: string): Parts {
  let format = formats.get(timeZone);
  if (!format) {
    format = new Intl.DateTimeFormat("en-CA", {
      timeZone, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
    });
    formats.set(timeZone, format);
  }
  return Object.fromEntries(format.formatToParts(new Date(moment)).map((part) => [part.type, part.value])) as unknown as Parts;
}

/** `14:32`. */
export function time(moment: Moment, timeZone = zone()): string {
  const { hour, minute } = parts(moment, timeZone);
  return `${hour}:${minute}`;
}

/** `14:32:08`. */
export function timeWithSeconds(moment: Moment, timeZone = zone()): string {
  const { hour, minute, second } = parts(moment, timeZone);
  return `${hour}:${minute}:${second}`;
}

/** `11-18` in the year of `now`, else `2025-03-09`. */
export function date(moment: Moment, now: Moment = serverNow(), timeZone = zone()): string {
  const { year, month, day } = parts(moment, timeZone);
  return year === parts(now, timeZone).year ? `${month}-${day}` : `${year}-${month}-${day}`;
}

/** `2026-11-18`, for documents and file-like lists. */
export function fullDate(moment: Moment, timeZone = zone()): string {
  const { year, month, day } = parts(moment, timeZone);
  return `${year}-${month}-${day}`;
}

/** `14:32` today, else `11-18 14:32`. */
export function moment(at: Moment, now: Moment = serverNow(), timeZone = zone()): string {
  const isToday = fullDate(at, timeZone) === fullDate(now, timeZone);
  return isToday ? time(at, timeZone) : `${date(at, now, timeZone)} ${time(at, timeZone)}`;
}

/** `mm:ss` below an hour, then `1 时 47 分`, then days. Takes whole milliseconds ≥ 0. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 3600) return `${two(Math.floor(seconds / 60))}:${two(seconds % 60)}`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 24 * 60) return t("ui.duration.hours", { h: Math.floor(minutes / 60), m: two(minutes % 60) });
  return t("ui.duration.days", { d: Math.floor(minutes / 1440), h: Math.floor((minutes % 1440) / 60) });
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}

/** `67岁`, `5月`, `3天`; empty where the birth date is not known. */
export function age(value: Age | null): string {
  return value ? t(`ui.age.${value.unit}`, { n: value.value }) : "";
}

/** `男 67岁`; what is not known is left out. */
export function sexAndAge(patient: { sex: string | null; age: Age | null }): string {
  return [patient.sex ? t(`ui.sex.${patient.sex}`) : "", age(patient.age)].filter(Boolean).join(" ");
}

/** `18.0 MB`; powers of 1000, as drives are sold and counted. */
export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(value < 99.95 ? 1 : 0)}\u00a0${units[unit]}`;
}

const ECG_MODALITIES = new Set(["ECG", "EKG"]);
const FILM_MODALITIES = new Set(["DR", "DX", "CR"]);

/** The word in the type box: DR CT 心电; a code nobody translated stands as itself. */
export function modality(code: string): string {
  if (ECG_MODALITIES.has(code)) return t("ui.modality.ECG");
  if (FILM_MODALITIES.has(code)) return t("ui.modality.DR");
  return tOr(`ui.modality.${code}`, code);
}

/** What was examined: the device's own description, else the body part, else the type. */
export function exam(study: { description: string; body_part: string; modality: string }): string {
  const partKey = `ui.tech.part.${study.body_part.toLowerCase()}`;
  const part = t(partKey);
  return study.description || (part === partKey ? study.body_part : part) || modality(study.modality);
}

export function siteName(site: { name: string; name_en: string }): string {
  return language() === "en" ? site.name_en || site.name : site.name;
}
