/** The measurements of a study, and how a viewport draws its own over its picture as SVG. */
import type { Slice } from "./display.ts";
import { svg } from "./dom.ts";
import type { Matrix, Point } from "./geometry.ts";
import { drawMark, type Measurement, measureLength } from "./marks.ts";

/** Numbered in the order of drawing; viewports that share them show the same marks of the same picture. */
export class Marks {
  readonly list: Measurement[] = [];
  /** The one a key removes and a report inserts. */
  active: string | null = null;
  #nextNumber = 1;
  readonly #listeners = new Set<() => void>();

  /** Gives back how to stop. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  addLength(slice: Slice, points: [Point, Point]): string {
    const number = this.#nextNumber++;
    const id = crypto.randomUUID?.() ?? `${Date.now()}-${number}`;
    this.list.push(measureLength(id, number, slice, points));
    this.active = id;
    this.#changed();
    return id;
  }

  move(slice: Slice, id: string, points: [Point, Point]): void {
    const at = this.list.findIndex((mark) => mark.id === id);
    const mark = this.list[at];
    if (!mark) return;
    this.list[at] = measureLength(id, mark.number, slice, points);
    this.#changed();
  }

  remove(id: string): void {
    const at = this.list.findIndex((mark) => mark.id === id);
    if (at < 0) return;
    const [removed] = this.list.splice(at, 1);
    // Only the newest number is given again: the report may name the others.
    if (removed?.number === this.#nextNumber - 1) this.#nextNumber--;
    if (this.active === id) this.active = null;
    this.#changed();
  }

  removeActive(): void {
    if (this.active) this.remove(this.active);
  }
}

export class MarkLayer {
  readonly root = svg("svg", { class: "marks" });

  constructor(private readonly marks: Marks) {}

  draw(slice: Slice | null, matrix: Matrix | null, ratio: number): void {
    const uid = slice?.instance.sop_instance_uid;
    const here = this.marks.list.filter((mark) => mark.sop_instance_uid === uid && mark.frame_number === slice?.frame_number);
    if (here.length === 0 && !this.root.firstChild) return;
    this.root.replaceChildren(...(matrix ? here.map((mark) => drawMark(mark, mark.id === this.marks.active, matrix, ratio)) : []));
  }
}
