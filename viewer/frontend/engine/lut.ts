/**
 * Stored value to grey: modality LUT, VOI (PS3.3 C.11.2), polarity, 8 bit.
 *
 * The grey is y·255 rounded half up, y in 0..1 being what pydicom's apply_voi_lut gives over its own output range.
 */
import type { Instance, ModalityLut, Voi, VoiTable, VoiWindow } from "./display.ts";

export type LutSource = Pick<Instance, "modality_lut" | "monochrome1" | "presentation_lut_inverse" | "pixel_padding" | "auto_window" | "voi">;

/** Samples as raw bits: signed samples index the tables by their two's complement. */
export interface Raster {
  width: number;
  height: number;
  components: number;
  signed: boolean;
  samples: Uint8Array | Uint16Array;
}

/** A modality table holds its ends: values below give the first entry, values above the last. */
export function modalityValue(lut: ModalityLut, stored: number): number {
  if (lut.kind === "linear") return stored * lut.slope + lut.intercept;
  return lookUp(lut.first, lut.values, stored);
}

function lookUp(first: number, values: readonly number[], value: number): number {
  const index = Math.trunc(Math.min(Math.max(value - first, 0), values.length - 1));
  return values[index] ?? 0;
}

/** y in 0..1 of a window (PS3.3 C.11.2.1.2 and C.11.2.1.3). */
export function windowed(voi: VoiWindow, value: number): number {
  if (voi.function === "SIGMOID") return 1 / (1 + Math.exp((-4 * (value - voi.center)) / voi.width));
  const linear = voi.function === "LINEAR";
  const center = linear ? voi.center - 0.5 : voi.center;
  const width = linear ? voi.width - 1 : voi.width;
  if (value <= center - width / 2) return 0;
  if (value > center + width / 2) return 1;
  return (value - center) / width + 0.5;
}

export function tabled(voi: VoiTable, value: number): number {
  return lookUp(voi.first, voi.values, value) / (2 ** voi.bits - 1);
}

export function grey(y: number): number {
  return Math.min(255, Math.max(0, Math.floor(y * 255 + 0.5)));
}

/** MONOCHROME1 and Presentation LUT Shape INVERSE say the same thing twice (PS3.3 C.8.11.3): one inversion. */
export function isInverse(source: LutSource): boolean {
  return source.monochrome1 || source.presentation_lut_inverse;
}

/** The window an image opens with: the first of the file, or its whole range. */
export function defaultVoi(source: Pick<LutSource, "voi" | "auto_window">): Voi {
  return source.voi[0] ?? autoVoi(source);
}

export function autoVoi(source: Pick<LutSource, "auto_window">): VoiWindow {
  const { center, width } = source.auto_window ?? { center: 128, width: 256 };
  // LINEAR is not defined below a width of 1: small ranges (SUV, velocities) are exact ones.
  return { kind: "window", center, width, function: width >= 1 ? "LINEAR" : "LINEAR_EXACT", name: "" };
}

/** The grey of each possible sample, as opaque little-endian RGBA, indexed by the sample's raw bits. */
export function greyTable(source: LutSource, voi: Voi, inverted: boolean, bits: 8 | 16, signed: boolean): Uint32Array {
  const size = 2 ** bits;
  const table = new Uint32Array(size);
  const flip = isInverse(source) !== inverted;
  const [low, high] = source.pixel_padding ?? [Infinity, -Infinity];
  for (let raw = 0; raw < size; raw++) {
    const stored = signed && raw >= size / 2 ? raw - size : raw;
    const value = modalityValue(source.modality_lut, stored);
    const level = grey(voi.kind === "window" ? windowed(voi, value) : tabled(voi, value));
    // Padding is no part of the picture (C.7.5.1.1.2): it stays as dark as the ground in either polarity.
    const shown = stored >= low && stored <= high ? 0 : flip ? 255 - level : level;
    table[raw] = 0xff000000 | (shown * 0x010101);
  }
  return table;
}

/** Every `stride`-th pixel of every `stride`-th row as RGBA. */
export function paintGrey(raster: Raster, table: Uint32Array, stride: number, out: Uint32Array): void {
  const { samples, width, height } = raster;
  let to = 0;
  for (let row = 0; row < height; row += stride) {
    const end = (row + 1) * width;
    for (let from = row * width; from < end; from += stride) out[to++] = table[samples[from] as number] as number;
  }
}

/** The 8 bits a screen has of each possible sample, as the server's pictures have them: the highest, or the range filled. */
export function shades(bitsStored: number, inverted: boolean): Uint8Array {
  const highest = 2 ** bitsStored - 1;
  const shade = (sample: number): number => (bitsStored < 8 ? Math.floor((sample * 255) / highest) : sample >> (bitsStored - 8));
  return Uint8Array.from({ length: highest + 1 }, (_, sample) => (inverted ? 255 - shade(sample) : shade(sample)));
}

/** Colour has no window: only its depth is brought to the screen's (`shades`). */
export function paintColour(raster: Raster, table: Uint8Array, stride: number, out: Uint32Array): void {
  const { samples, width, height } = raster;
  let to = 0;
  for (let row = 0; row < height; row += stride) {
    for (let column = 0; column < width; column += stride) {
      const from = (row * width + column) * 3;
      const red = table[samples[from] as number] as number;
      const green = table[samples[from + 1] as number] as number;
      const blue = table[samples[from + 2] as number] as number;
      out[to++] = 0xff000000 | red | (green << 8) | (blue << 16);
    }
  }
}
