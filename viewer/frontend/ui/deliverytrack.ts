/** How far a delivery is: five bars QUEUED → ACKED in the colour of its state, and its word. */
import { t, tOr } from "../i18n.ts";
import { h } from "./h.ts";

export type DeliveryState = "QUEUED" | "SENDING" | "ACCEPTED" | "OPENED" | "ACKED" | "RETRY" | "DEAD" | "SUPERSEDED";

interface Bars {
  /** Bars filled green before the one that carries the state's colour. */
  on: number;
  /** Whether one more bar stands in the colour of the state. */
  hasOpenBar: boolean;
  tone: "idle" | "busy" | "amber" | "red" | "green";
}

const BARS: Readonly<Record<DeliveryState, Bars>> = {
  QUEUED: { on: 0, hasOpenBar: true, tone: "idle" },
  SENDING: { on: 1, hasOpenBar: true, tone: "busy" },
  RETRY: { on: 1, hasOpenBar: true, tone: "amber" },
  DEAD: { on: 1, hasOpenBar: true, tone: "red" },
  SUPERSEDED: { on: 0, hasOpenBar: false, tone: "idle" },
  ACCEPTED: { on: 3, hasOpenBar: false, tone: "green" },
  OPENED: { on: 4, hasOpenBar: false, tone: "green" },
  ACKED: { on: 5, hasOpenBar: false, tone: "green" },
};

export function barsOf(state: DeliveryState): Bars {
  return BARS[state];
}

export function deliveryTrack(state: DeliveryState): HTMLElement {
  const { on, hasOpenBar, tone } = BARS[state];
  const bars = Array.from({ length: 5 }, (_, index) => h("i", { class: index < on ? "on" : hasOpenBar && index === on ? "at" : null }));
  return h("span", { class: `deliverytrack ${tone}` },
    h("span", { class: "bars", "aria-hidden": "true" }, ...bars),
    h("span", { class: "word" }, t(`ui.delivery.${state}`)));
}

/** One of the usual actions in the reader's language; what an API client wrote, as it is. */
export function actionWords(action: string): string {
  return tOr(`ui.portal.action.${action}`, action);
}
