/** Where a point of the image stands on the canvas, and back. Canvas units are device pixels. */

export interface View {
  /** Device pixels for one image column. */
  zoom: number;
  /** Device pixels from the middle of the canvas to the middle of the image. */
  pan: [number, number];
  /** Quarter turns clockwise. */
  turns: number;
  flipped: boolean;
}

export interface Size {
  width: number;
  height: number;
}

/** Image size in columns and rows; `aspect` is the height of a pixel over its width. */
export interface ImageSize {
  columns: number;
  rows: number;
  aspect: number;
}

/** `x' = a·x + c·y + e`, `y' = b·x + d·y + f`, as canvas setTransform takes it. */
export type Matrix = readonly [a: number, b: number, c: number, d: number, e: number, f: number];
export type Point = readonly [x: number, y: number];

const COSINE = [1, 0, -1, 0] as const;
const SINE = [0, 1, 0, -1] as const;

export function viewMatrix(view: View, canvas: Size, image: ImageSize): Matrix {
  const turn = ((view.turns % 4) + 4) % 4;
  const [cos, sin] = [COSINE[turn] as number, SINE[turn] as number];
  const across = view.flipped ? -view.zoom : view.zoom;
  const down = view.zoom * image.aspect;
  const [a, b, c, d] = [cos * across, sin * across, -sin * down, cos * down];
  const middle = [canvas.width / 2 + view.pan[0], canvas.height / 2 + view.pan[1]] as const;
  const e = middle[0] - (a * image.columns + c * image.rows) / 2;
  const f = middle[1] - (b * image.columns + d * image.rows) / 2;
  // Whole device pixels for the corner: at 1:1 every image pixel is exactly one pixel of the screen.
  return [a, b, c, d, Math.round(e), Math.round(f)];
}

export function apply([a, b, c, d, e, f]: Matrix, [x, y]: Point): Point {
  return [a * x + c * y + e, b * x + d * y + f];
}

export function inverse([a, b, c, d, e, f]: Matrix): Matrix {
  const n = a * d - b * c;
  return [d / n, -b / n, -c / n, a / n, (c * f - d * e) / n, (b * e - a * f) / n];
}

/** The zoom at which the whole image just fits. */
export function fitZoom(canvas: Size, image: ImageSize, turns: number): number {
  const [width, height] = [image.columns, image.rows * image.aspect];
  const [across, down] = turns % 2 === 0 ? [width, height] : [height, width];
  return Math.min(canvas.width / across, canvas.height / down);
}

/** The letter at each edge of the canvas after turning and flipping. */
export function turnedEdges<T>(edges: { left: T; right: T; top: T; bottom: T }, view: Pick<View, "turns" | "flipped">) {
  const [left, right] = view.flipped ? [edges.right, edges.left] : [edges.left, edges.right];
  const ring = [edges.top, right, edges.bottom, left];
  const at = (place: number): T => ring[(((place - view.turns) % 4) + 4) % 4] as T;
  return { top: at(0), right: at(1), bottom: at(2), left: at(3) };
}

/** Length in mm, or in px where mm has no right (`spacing` null). Points are image columns and rows. */
export function distance(from: Point, to: Point, spacing: { row_mm: number; column_mm: number } | null): number {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  return spacing ? Math.hypot(dx * spacing.column_mm, dy * spacing.row_mm) : Math.hypot(dx, dy);
}
