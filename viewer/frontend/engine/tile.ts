/** What stands in place of a picture that cannot be shown: what, why, what still works, one button. */
import { t } from "../i18n.ts";
import type { Slice } from "./display.ts";
import { element, icon } from "./dom.ts";

const WARNING = ["M8 2.5L14.5 13.5H1.5Z", "M8 6.5v3.5", "M8 12v.1"];
const AGAIN = ["M13 5.5A5.6 5.6 0 1 0 13.6 9", "M13.5 2.5v3.2h-3.2"];

function button(words: string, act: () => void): HTMLButtonElement {
  const made = element("button", "btn", words);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

function why(code: string): string {
  const key = `engine.why.${code}`;
  const words = t(key);
  return words === key ? t("engine.why.other", { code }) : words;
}

export function failureTile(slice: Slice, error: string | null, rest: number, retry: () => void): HTMLElement[] {
  const head = (paths: string[], title: string, text: string): HTMLElement[] => [
    icon(paths, [], 17) as unknown as HTMLElement,
    element("b", "", title),
    element("p", "", text),
  ];
  if (error === "network") {
    return [...head(AGAIN, t("engine.failed.network"), t("engine.failed.network_why")), button(t("engine.failed.reconnect"), retry)];
  }
  if (slice.instance.state === "failed") {
    return head(WARNING, t("engine.failed.instance"), t("engine.failed.instance_why", { reason: slice.instance.reason ?? "" }));
  }
  const number = slice.instance.frames.length > 1 ? slice.frame_number : (slice.instance.number ?? 1);
  const text = t(rest > 0 ? "engine.failed.frame_why" : "engine.failed.frame_only_why", { why: why(error ?? ""), rest });
  return [...head(WARNING, t("engine.failed.frame", { number }), text), button(t("engine.failed.retry"), retry)];
}
