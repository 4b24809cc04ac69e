/** One cell per slice at the right edge: grey, amber, green; white where one is. A press goes there. */
import { element } from "./dom.ts";
import type { Quality } from "./slot.ts";

/** Above this several slices share a cell; it shows the worst of them. */
const MOST_CELLS = 200;
const ORDER: readonly Quality[] = ["failed", "loading", "partial", "lossless"];

export class Ribbon {
  readonly root = element("div", "ribbon vertical");
  #cells: HTMLElement[] = [];
  #length = 0;

  constructor(private readonly goTo: (index: number) => void) {
    this.root.addEventListener("pointerdown", (event) => this.#press(event));
    this.root.addEventListener("pointermove", (event) => event.buttons === 1 && this.#press(event));
  }

  resize(length: number): void {
    this.#length = length;
    this.root.hidden = length < 2;
    this.#cells = Array.from({ length: Math.min(length, MOST_CELLS) }, () => document.createElement("i"));
    this.root.replaceChildren(...this.#cells);
  }

  update(current: number, qualityAt: (index: number) => Quality): void {
    const cells = this.#cells;
    cells.forEach((cell, place) => {
      const from = Math.floor((place * this.#length) / cells.length);
      const to = Math.max(from + 1, Math.floor(((place + 1) * this.#length) / cells.length));
      let worst = ORDER.length - 1;
      for (let index = from; index < to; index++) worst = Math.min(worst, ORDER.indexOf(qualityAt(index)));
      const name = `${ORDER[worst]}${current >= from && current < to ? " current" : ""}`;
      if (cell.className !== name) cell.className = name;
    });
  }

  #press(event: PointerEvent): void {
    event.stopPropagation();
    const box = this.root.getBoundingClientRect();
    const share = (event.clientY - box.top) / box.height;
    this.goTo(Math.min(this.#length - 1, Math.max(0, Math.floor(share * this.#length))));
  }
}
