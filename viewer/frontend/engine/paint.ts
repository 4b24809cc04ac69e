/** One frame on a 2D canvas: grey table applied, then zoom, pan, turn and flip, shutter and overlay planes. */
import type { Instance, Overlay, Shutter, Voi } from "./display.ts";
import { type View, viewMatrix } from "./geometry.ts";
import { greyTable, paintColour, paintGrey, type Raster, shades } from "./lut.ts";

export interface Picture {
  instance: Instance;
  raster: Raster;
  voi: Voi;
  inverted: boolean;
}

export interface PaintOptions {
  /** While a hand moves: every second pixel of a big frame, and the cheaper filter. */
  hurried: boolean;
  /** Between pixels when enlarged: true is bilinear, false shows the pixels as squares. */
  smoothing: boolean;
}

/** Above this a frame is painted at half resolution while a hand moves. */
const BIG_PIXELS = 2_000_000;

export class Painter {
  readonly #context: CanvasRenderingContext2D;
  readonly #surface = document.createElement("canvas");
  readonly #overlays = new WeakMap<Overlay, HTMLCanvasElement>();
  #painted: (Picture & { stride: number }) | null = null;
  #pixels: ImageData | null = null;
  #table: Uint32Array = new Uint32Array(0);
  #tableOf: { instance: Instance; voi: Voi; inverted: boolean; bits: 8 | 16 } | null = null;

  constructor(readonly canvas: HTMLCanvasElement) {
    // Opaque: nothing shines through, and the browser need not blend.
    this.#context = canvas.getContext("2d", { alpha: false }) as CanvasRenderingContext2D;
  }

  clear(): void {
    this.#context.resetTransform();
    this.#context.fillStyle = "#000";
    this.#context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  /** Memory of the last frame is given back. */
  forget(): void {
    this.#painted = this.#pixels = this.#tableOf = null;
    this.#surface.width = this.#surface.height = 0;
    this.clear();
  }

  draw(picture: Picture, view: View, options: PaintOptions): void {
    const { instance, raster } = picture;
    const big = raster.width * raster.height > BIG_PIXELS;
    this.#fill(picture, options.hurried && big ? 2 : 1);
    this.clear();
    const size = { columns: instance.columns, rows: instance.rows, aspect: instance.pixel_aspect };
    const matrix = viewMatrix(view, this.canvas, size);
    const context = this.#context;
    context.save();
    context.setTransform(...matrix);
    if (instance.shutter) clipTo(context, instance.shutter, instance.pixel_aspect);
    this.#setFilter(view.zoom, instance.pixel_aspect, options, big);
    context.drawImage(this.#surface, 0, 0, instance.columns, instance.rows);
    context.imageSmoothingEnabled = view.zoom < 1;
    for (const overlay of instance.overlays) {
      context.drawImage(this.#overlay(overlay), overlay.origin[1] - 1, overlay.origin[0] - 1);
    }
    context.restore();
  }

  #setFilter(zoom: number, aspect: number, options: PaintOptions, big: boolean): void {
    const exact = zoom === 1 && aspect === 1 && this.#painted?.stride === 1;
    this.#context.imageSmoothingEnabled = !exact && (zoom < 1 || options.smoothing);
    this.#context.imageSmoothingQuality = options.hurried && big ? "low" : zoom < 1 ? "high" : "low";
  }

  /** The grey picture at its own resolution, made anew only when something of it changed. */
  #fill(picture: Picture, stride: number): void {
    const last = this.#painted;
    const same =
      last?.raster === picture.raster && last.voi === picture.voi && last.inverted === picture.inverted &&
      last.instance === picture.instance && last.stride === stride;
    if (same) return;
    const { raster } = picture;
    const [width, height] = [Math.ceil(raster.width / stride), Math.ceil(raster.height / stride)];
    if (this.#pixels?.width !== width || this.#pixels.height !== height) {
      this.#pixels = new ImageData(width, height);
      this.#surface.width = width;
      this.#surface.height = height;
    }
    const out = new Uint32Array(this.#pixels.data.buffer);
    if (raster.components === 3) paintColour(raster, shades(picture.instance.bits_stored, picture.inverted), stride, out);
    else paintGrey(raster, this.#greys(picture), stride, out);
    (this.#surface.getContext("2d") as CanvasRenderingContext2D).putImageData(this.#pixels, 0, 0);
    this.#painted = { ...picture, stride };
  }

  #greys({ instance, voi, inverted, raster }: Picture): Uint32Array {
    const bits = raster.samples instanceof Uint8Array ? 8 : 16;
    const of = this.#tableOf;
    if (of?.instance !== instance || of.voi !== voi || of.inverted !== inverted || of.bits !== bits) {
      this.#table = greyTable(instance, voi, inverted, bits, raster.signed);
      this.#tableOf = { instance, voi, inverted, bits };
    }
    return this.#table;
  }

  #overlay(overlay: Overlay): HTMLCanvasElement {
    let plane = this.#overlays.get(overlay);
    if (!plane) this.#overlays.set(overlay, (plane = overlayPlane(overlay)));
    return plane;
  }
}

/** A bit plane as white on nothing. */
function overlayPlane(overlay: Overlay): HTMLCanvasElement {
  const plane = document.createElement("canvas");
  plane.width = overlay.columns;
  plane.height = overlay.rows;
  const pixels = new ImageData(overlay.columns, overlay.rows);
  new Uint32Array(pixels.data.buffer).set(overlayBits(overlay).map((bit) => (bit ? 0xffffffff : 0)));
  (plane.getContext("2d") as CanvasRenderingContext2D).putImageData(pixels, 0, 0);
  return plane;
}

/** One entry of 0 or 1 per pixel; bits the data lack are 0. */
export function overlayBits(overlay: Overlay): Uint32Array {
  const packed = Uint8Array.from(atob(overlay.bits_base64), (letter) => letter.charCodeAt(0));
  return Uint32Array.from({ length: overlay.rows * overlay.columns }, (_, index) => ((packed[index >> 3] ?? 0) >> (index & 7)) & 1);
}

/** What lies outside any of the shapes is shut (PS3.3 C.7.6.11). */
function clipTo(context: CanvasRenderingContext2D, shutter: Shutter, aspect: number): void {
  const { rectangular, circular, polygonal } = shutter;
  if (rectangular) {
    const { left, right, upper, lower } = rectangular;
    context.beginPath();
    context.rect(left - 1, upper - 1, right - left + 1, lower - upper + 1);
    context.clip();
  }
  if (circular) {
    const [row, column] = circular.center;
    context.beginPath();
    context.ellipse(column - 0.5, row - 0.5, circular.radius, circular.radius / aspect, 0, 0, 2 * Math.PI);
    context.clip();
  }
  if (polygonal) {
    context.beginPath();
    for (const [row, column] of polygonal.vertices) context.lineTo(column - 0.5, row - 0.5);
    context.clip();
  }
}
