/** Small helpers to make elements; text is always text, never markup. */

const SVG = "http://www.w3.org/2000/svg";

export function element<K extends keyof HTMLElementTagNameMap>(tag: K, className = "", ...children: (Node | string)[]): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

export function svg<K extends keyof SVGElementTagNameMap>(tag: K, attributes: Record<string, string | number>, ...children: (Node | string)[]): SVGElementTagNameMap[K] {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

/** An icon of the 16 grid: stroked paths, and filled ones where asked. */
export function icon(paths: readonly string[], filled: readonly string[] = [], size = 14): SVGSVGElement {
  const made = svg("svg", { class: "i", width: size, height: size, viewBox: "0 0 16 16", fill: "none", stroke: "currentColor", "stroke-width": 1.5, "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true" });
  made.append(...paths.map((d) => svg("path", { d })), ...filled.map((d) => svg("path", { d, fill: "currentColor", stroke: "none" })));
  return made;
}
