/** A page with nothing but viewports on it: the test puts display records in and looks at the canvas. */
import { type DisplayStudy, EcgSheet, startEngine, Viewport, bindImageKeys } from "../../viewer/frontend/engine/engine.ts";

const labels = { name: "韩秀芝", detail: "女 58岁", patientId: "QS-0042817", site: "青山镇卫生院", heading: null };

async function open(path: string, smoothing = true): Promise<Viewport> {
  const study = (await (await fetch(path)).json()) as DisplayStudy;
  const [series] = study.series;
  if (!series) throw new Error("no series");
  const engine = startEngine();
  const viewport = new Viewport(document.getElementById("viewport") as HTMLElement, { store: engine.store, labels, smoothing });
  viewport.setActive(true);
  viewport.setSeries(series);
  bindImageKeys(() => viewport);
  Object.assign(window, { viewport, engine, qualities: [] });
  viewport.on("quality", ({ quality }) => (window as unknown as { qualities: string[] }).qualities.push(quality));
  return viewport;
}

/** The image's own pixels as they stand on the canvas at 1:1, row by row, red green blue. */
function pixels(viewport: Viewport): { columns: number; rows: number; rgb: string } {
  const instance = viewport.slice?.instance;
  const [, , , , x, y] = viewport.matrix ?? [0, 0, 0, 0, 0, 0];
  const [columns, rows] = [instance?.columns ?? 0, instance?.rows ?? 0];
  const data = viewport.canvas.getContext("2d")?.getImageData(x, y, columns, rows).data ?? new Uint8ClampedArray();
  let rgb = "";
  for (let at = 0; at < data.length; at += 4) rgb += String.fromCharCode(data[at] ?? 0, data[at + 1] ?? 0, data[at + 2] ?? 0);
  return { columns, rows, rgb: btoa(rgb) };
}

Object.assign(window, { open_study: open, pixels, EcgSheet });
