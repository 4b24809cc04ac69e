/** Numbers as they stand on screen: true minus, thin spaces between thousands, value and unit never parted. */
import { t } from "./i18n.ts";

export const MINUS = "\u2212";
export const THIN_SPACE = "\u2009";
export const NO_BREAK_SPACE = "\u00a0";

/** What the spacing of an image may be called: in the patient, calibrated, at the detector, or not known. */
export type SpacingType = "patient" | "fiducial" | "geometry" | "detector" | "none";

export interface Spacing {
  row_mm: number | null;
  column_mm: number | null;
  type: SpacingType;
}

/** `-1234.5` with one decimal becomes `−1 234.5`. */
export function formatNumber(value: number, decimals = 0): string {
  if (!Number.isFinite(value)) return "–";
  const [whole = "0", fraction] = Math.abs(value).toFixed(decimals).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, THIN_SPACE);
  const digits = fraction === undefined ? grouped : `${grouped}.${fraction}`;
  return value < 0 && /[1-9]/.test(digits) ? MINUS + digits : digits;
}

/** Value and unit joined so that no line break can part them. */
export function withUnit(value: number, unit: string, decimals = 0): string {
  return unit ? `${formatNumber(value, decimals)}${NO_BREAK_SPACE}${unit}` : formatNumber(value, decimals);
}

/** Windows are whole numbers except where the whole range is small (SUV, US velocity). */
export function formatWindow(value: number, width: number): string {
  return formatNumber(value, Number.isInteger(value) || width >= 20 ? 0 : 2);
}

/** mm may be said only where both spacings are known and their origin is named. */
export function hasMillimetres(spacing: Spacing): boolean {
  return spacing.type !== "none" && (spacing.row_mm ?? 0) > 0 && (spacing.column_mm ?? 0) > 0;
}

export function spacingWord(spacing: Spacing): string {
  return t(`engine.spacing.${hasMillimetres(spacing) ? spacing.type : "none"}`);
}

/** `间距 0.898 mm 患者平面`, both numbers where they differ, or that only pixels can be measured. */
export function spacingText(spacing: Spacing): string {
  if (!hasMillimetres(spacing)) return t("engine.spacing_unknown");
  const [row, column] = [spacing.row_mm ?? 0, spacing.column_mm ?? 0];
  const value = Math.abs(row - column) < 0.0005 ? row.toFixed(3) : `${row.toFixed(3)}${THIN_SPACE}×${THIN_SPACE}${column.toFixed(3)}`;
  return t("engine.spacing_known", { value: `${value}${NO_BREAK_SPACE}mm`, word: spacingWord(spacing) });
}
