/** The display JSON of a study, as `viewer/image_metadata.py` writes it, and what the engine makes of it at once. */
import type { Spacing } from "../units.ts";

export interface Level {
  width: number;
  height: number;
  /** Length of the prefix of the codestream that decodes to this level. */
  bytes_end: number;
}

export interface FrameRef extends Partial<Pick<Instance, "modality_lut" | "voi" | "spacing" | "position_mm">> {
  url: string;
  bytes: number;
  /** Smallest first; the last is the whole image, lossless. */
  levels: Level[];
}

export type ModalityLut =
  | { kind: "linear"; slope: number; intercept: number; unit?: string }
  | { kind: "table"; first: number; values: number[]; unit?: string };

export type VoiFunction = "LINEAR" | "LINEAR_EXACT" | "SIGMOID";

export interface VoiWindow {
  kind: "window";
  center: number;
  width: number;
  function: VoiFunction;
  name: string;
}

export interface VoiTable {
  kind: "table";
  first: number;
  bits: number;
  values: number[];
  name: string;
}

export type Voi = VoiWindow | VoiTable;

export interface Overlay {
  rows: number;
  columns: number;
  /** Row and column of the first bit, counted from 1 (60xx,0050). */
  origin: [number, number];
  /** One bit per pixel, least significant bit first (60xx,3000). */
  bits_base64: string;
}

/** Display shutter (PS3.3 C.7.6.11): what lies outside any given shape is not shown. Rows and columns from 1. */
export interface Shutter {
  rectangular?: { left: number; right: number; upper: number; lower: number };
  circular?: { center: [row: number, column: number]; radius: number };
  polygonal?: { vertices: [row: number, column: number][] };
}

export interface Orientation {
  left: string;
  right: string;
  top: string;
  bottom: string;
}

export interface Instance {
  sop_instance_uid: string;
  number: number | null;
  /** `none`: no picture at all (a report, a waveform). */
  state: "ready" | "pending" | "failed" | "none";
  reason: string | null;
  rows: number;
  columns: number;
  frames: FrameRef[];
  samples_per_pixel: number;
  bits_stored: number;
  signed: boolean;
  monochrome1: boolean;
  modality_lut: ModalityLut;
  voi: Voi[];
  /** Null for colour, which has no window. */
  auto_window: { center: number; width: number } | null;
  presentation_lut_inverse: boolean;
  pixel_padding: [number, number] | null;
  spacing: Spacing;
  orientation: Orientation | null;
  position_mm: number | null;
  pixel_aspect: number;
  overlays: Overlay[];
  shutter: Shutter | null;
  laterality: string | null;
  view_position: string | null;
  kvp: number | null;
  acquired_at: string | null;
  station: string | null;
}

export interface Series {
  series_instance_uid: string;
  number: number | null;
  modality: string;
  description: string;
  body_part: string;
  instances: Instance[];
}

export interface DisplayStudy {
  study_instance_uid: string;
  series: Series[];
}

/** One picture of a series: an instance and, once it can be shown, one of its frames (from 1). */
export interface Slice {
  instance: Instance;
  frame: FrameRef | null;
  frame_number: number;
}

/** An image the server could not read has only its name: the rest is what nothing is. */
const UNKNOWN: Omit<Instance, "sop_instance_uid" | "state"> = {
  number: null, reason: null, rows: 0, columns: 0, frames: [], samples_per_pixel: 1, bits_stored: 16, signed: false,
  monochrome1: false, modality_lut: { kind: "linear", slope: 1, intercept: 0 }, voi: [], auto_window: null,
  presentation_lut_inverse: false, pixel_padding: null, spacing: { row_mm: null, column_mm: null, type: "none" },
  orientation: null, position_mm: null, pixel_aspect: 1, overlays: [], shutter: null, laterality: null,
  view_position: null, kvp: null, acquired_at: null, station: null,
};

export function slicesOf(series: Series): Slice[] {
  const images = series.instances.filter((instance) => instance.state !== "none");
  return images.flatMap((instance): Slice[] =>
    instance.state === "ready" && instance.frames.length > 0
      ? instance.frames.map((frame, index) => ({ instance: ofFrame(instance, frame), frame, frame_number: index + 1 }))
      : [{ instance: { ...UNKNOWN, ...instance }, frame: null, frame_number: 1 }],
  );
}

/** What a frame of a multi-frame image says of itself goes before what the image says of all. */
function ofFrame(instance: Instance, frame: FrameRef): Instance {
  const { modality_lut, voi, spacing, position_mm } = frame;
  if (!modality_lut && !voi && !spacing && position_mm === undefined) return instance;
  return {
    ...instance,
    modality_lut: modality_lut ?? instance.modality_lut,
    voi: voi ?? instance.voi,
    spacing: spacing ?? instance.spacing,
    position_mm: position_mm ?? instance.position_mm,
  };
}

export type Plane = "axial" | "coronal" | "sagittal" | "oblique" | "";

/** The plane of a slice by the letters at its edges, oblique where one has two; none for a projection (DR, CR). */
export function planeOf(instance: Instance): Plane {
  const orientation = instance.orientation;
  if (!orientation || instance.position_mm === null) return "";
  const across = orientation.right;
  const down = orientation.bottom;
  if (across.length !== 1 || down.length !== 1) return "oblique";
  if ("RL".includes(across)) return "AP".includes(down) ? "axial" : "coronal";
  return "AP".includes(across) && "HF".includes(down) ? "sagittal" : "oblique";
}
