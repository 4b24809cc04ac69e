/** The windows behind the keys 1–9, by modality. */
import { t } from "../i18n.ts";
import { autoVoi, defaultVoi } from "./lut.ts";
import type { Instance, Voi, VoiWindow } from "./display.ts";

/** What is chosen, so that each slice resolves it by its own file. */
export type VoiChoice = { kind: "file"; index: number } | { kind: "auto" } | { kind: "set"; voi: Voi };

export interface Preset {
  /** 1–9, the key. */
  digit: number;
  label: string;
  choice: VoiChoice;
}

/** Centre and width in HU. */
const CT_WINDOWS: readonly [name: string, center: number, width: number][] = [
  ["lung", -600, 1500],
  ["mediastinum", 40, 400],
  ["bone", 500, 2000],
  ["brain", 40, 80],
  ["stroke", 40, 40],
  ["abdomen", 50, 350],
  ["vessel", 150, 600],
];

export function windowOf(center: number, width: number, name = ""): VoiWindow {
  return { kind: "window", center, width, function: width >= 1 ? "LINEAR" : "LINEAR_EXACT", name };
}

export function presetsOf(modality: string, instance: Instance | undefined): Preset[] {
  const ct = modality === "CT" ? CT_WINDOWS : [];
  const fixed = ct.map(([name, center, width]) => {
    const label = t(`engine.preset.${name}`);
    return { label, choice: { kind: "set", voi: windowOf(center, width, label) } as VoiChoice };
  });
  const file = (instance?.voi ?? []).map((voi, index) => ({
    label: voi.name || t("engine.preset.file", { number: index + 1 }),
    choice: { kind: "file", index } as VoiChoice,
  }));
  const auto = { label: t("engine.preset.auto"), choice: { kind: "auto" } as VoiChoice };
  // The last key is always the whole range, whatever the file names before it.
  return [...[...fixed, ...file].slice(0, 8), auto].map((preset, index) => ({ digit: index + 1, ...preset }));
}

export function resolveVoi(choice: VoiChoice, instance: Instance): Voi {
  if (choice.kind === "set") return choice.voi;
  if (choice.kind === "auto") return autoVoi(instance);
  return instance.voi[choice.index] ?? defaultVoi(instance);
}
