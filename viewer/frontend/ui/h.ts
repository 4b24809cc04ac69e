/** Elements made from values; text is always text, never markup. */

export type Child = Node | string | number | null | undefined | false;
type Listener = (event: Event) => void;
export type Attributes = Readonly<Record<string, string | number | boolean | null | undefined | Listener>>;

/** `h("button", {class: "btn", type: "button", onclick: run}, "下一份")`; null and false leave an attribute out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.replace(/^on/, ""), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : String(value));
  }
  append(made, children);
  return made;
}

export function append(parent: Node, children: readonly Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    parent.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Puts these children in place of what was there. */
export function fill(parent: Element, ...children: Child[]): void {
  parent.replaceChildren();
  append(parent, children);
}

const SVG = "http://www.w3.org/2000/svg";

/** An icon of the page's sprite (`worklist/templates/_icons.svg`), by its name without `i-`. */
export function icon(name: string, size = 16): SVGSVGElement {
  const made = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  made.setAttribute("class", "i");
  made.setAttribute("width", String(size));
  made.setAttribute("height", String(size));
  made.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#i-${name}`);
  made.append(use);
  return made;
}

/** The element with this id; a page whose template lacks it is broken, and says so. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element #${id}`);
  return found as T;
}
