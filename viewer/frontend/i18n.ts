/** Sentences by code, in the language of the page (`<html lang>`); zh is the first language. */
import sentences from "virtual:locale";

export type Language = "zh" | "en";
export type Values = Readonly<Record<string, string | number>>;

export function language(): Language {
  const tag = typeof document === "undefined" ? "" : document.documentElement.lang;
  return tag.trim().toLowerCase().startsWith("en") ? "en" : "zh";
}

/** The sentence for `key` with its `{name}` places filled; an unknown key is shown as itself, never as nothing. */
export function t(key: string, values: Values = {}): string {
  return translate(key, language(), values);
}

/** The sentence for `key` where there is one: codes of other programs may have none. */
export function tOr(key: string, otherwise: string): string {
  return key in sentences ? t(key) : otherwise;
}

export function translate(key: string, wanted: Language, values: Values = {}): string {
  const sentence = sentences[key]?.[wanted] ?? key;
  return sentence.replace(/\{(\w+)\}/g, (place, name: string) => String(values[name] ?? place));
}
