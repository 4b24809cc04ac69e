/** Rows of a table kept by key: one that did not change stays, with the focus and the pointer on it. */

export class KeyedRows {
  readonly #rows = new Map<string, { mark: string; row: HTMLElement }>();

  constructor(private readonly body: HTMLElement) {}

  /** `of` is what a row shows: equal in JSON, equal on screen. */
  show<T>(list: readonly T[], keyOf: (of: T) => string, make: (of: T) => HTMLElement): void {
    const wanted = list.map((of) => this.#row(keyOf(of), JSON.stringify(of), () => make(of)));
    wanted.forEach((row, index) => {
      if (this.body.children[index] !== row) this.body.insertBefore(row, this.body.children[index] ?? null);
    });
    while (this.body.children.length > wanted.length) this.body.lastElementChild?.remove();
    const kept = new Set(wanted);
    for (const [key, { row }] of this.#rows) if (!kept.has(row)) this.#rows.delete(key);
  }

  #row(key: string, mark: string, make: () => HTMLElement): HTMLElement {
    const known = this.#rows.get(key);
    if (known?.mark === mark) return known.row;
    const row = make();
    this.#rows.set(key, { mark, row });
    if (known) replace(known.row, row);
    return row;
  }
}

/** The focus goes over to the same place of the new row. */
function replace(before: HTMLElement, after: HTMLElement): void {
  const stops = (row: HTMLElement): Element[] => [row, ...row.querySelectorAll("a, button")];
  const at = document.activeElement ? stops(before).indexOf(document.activeElement) : -1;
  before.replaceWith(after);
  const stop = stops(after)[at];
  if (stop instanceof HTMLElement) stop.focus();
}
