/** The measurements of a viewport, drawn over its picture as SVG. */
import type { Slice } from "./display.ts";
import { svg } from "./dom.ts";
import type { Matrix, Point } from "./geometry.ts";
import { drawMark, type Measurement, measureLength } from "./marks.ts";

export class MarkLayer {
  readonly root = svg("svg", { class: "marks" });
  readonly list: Measurement[] = [];
  /** The one a key removes and a report inserts. */
  active: string | null = null;
  #nextNumber = 1;

  constructor(private readonly onChange: () => void) {}

  addLength(slice: Slice, points: [Point, Point]): string {
    const number = this.#nextNumber++;
    const id = crypto.randomUUID?.() ?? `${Date.now()}-${number}`;
    this.list.push(measureLength(id, number, slice, points));
    this.active = id;
    this.onChange();
    return id;
  }

  move(slice: Slice, id: string, points: [Point, Point]): void {
    const at = this.list.findIndex((mark) => mark.id === id);
    const mark = this.list[at];
    if (!mark) return;
    this.list[at] = measureLength(id, mark.number, slice, points);
    this.onChange();
  }

  remove(id: string): void {
    const at = this.list.findIndex((mark) => mark.id === id);
    if (at < 0) return;
    const [removed] = this.list.splice(at, 1);
    // Only the newest number is given again: the report may name the others.
    if (removed?.number === this.#nextNumber - 1) this.#nextNumber--;
    if (this.active === id) this.active = null;
    this.onChange();
  }

  removeActive(): void {
    if (this.active) this.remove(this.active);
  }

  /** Measurements saved earlier, of any slice. */
  set(marks: readonly Measurement[]): void {
    this.list.splice(0, this.list.length, ...marks);
    this.#nextNumber = 1 + Math.max(0, ...marks.map((mark) => mark.number));
    this.onChange();
  }

  draw(slice: Slice | null, matrix: Matrix | null, ratio: number): void {
    const uid = slice?.instance.sop_instance_uid;
    const here = this.list.filter((mark) => mark.sop_instance_uid === uid && mark.frame_number === slice?.frame_number);
    if (here.length === 0 && !this.root.firstChild) return;
    this.root.replaceChildren(...(matrix ? here.map((mark) => drawMark(mark, mark.id === this.active, matrix, ratio)) : []));
  }
}
