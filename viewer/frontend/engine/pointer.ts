/** Mouse, pen and finger on the picture: left is the tool in hand, middle moves, right windows, the wheel scrolls. */
import type { Point } from "./geometry.ts";
import { tools } from "./tools/index.ts";
import type { Gesture, Tool } from "./tools/tool.ts";
import type { Viewport } from "./viewport.ts";

/** A notch of a mouse wheel is about 100 pixels; a touch pad sends many small steps for the same way. */
const WHEEL_STEP = 50;

function toolOf(viewport: Viewport, button: number): Tool | null {
  if (button === 1) return tools.pan;
  if (button === 2) return tools.window;
  return button === 0 ? tools[viewport.tool] : null;
}

/** Gives back how to disconnect. */
export function connectPointer(viewport: Viewport): () => void {
  const { root, canvas } = viewport;
  const controller = new AbortController();
  const options = { signal: controller.signal };
  let gesture: Gesture | null = null;
  let wheel = 0;

  const point = (event: MouseEvent): Point => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * viewport.pixelRatio, (event.clientY - box.top) * viewport.pixelRatio];
  };
  const finish = (act: (running: Gesture) => void): void => {
    const running = gesture;
    gesture = null;
    if (running) act(running);
  };

  canvas.addEventListener("pointerdown", (event) => {
    root.focus({ preventScroll: true });
    if (gesture) return;
    gesture = toolOf(viewport, event.button)?.start(viewport, point(event)) ?? null;
    // A pointer that is already gone cannot be captured; the gesture works without.
    if (gesture && event.isTrusted) canvas.setPointerCapture(event.pointerId);
  }, options);
  canvas.addEventListener("pointermove", (event) => gesture?.move(point(event)), options);
  canvas.addEventListener("pointerup", (event) => finish((running) => running.end(point(event))), options);
  canvas.addEventListener("pointercancel", () => finish((running) => running.cancel()), options);
  root.addEventListener("keydown", (event) => {
    if (event.code !== "Escape" || !gesture) return;
    event.stopPropagation();
    finish((running) => running.cancel());
  }, options);
  root.addEventListener("contextmenu", (event) => event.preventDefault(), options);
  root.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey) {
      viewport.zoomAt(point(event), viewport.view.zoom * 2 ** (-event.deltaY / 400));
      return;
    }
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 33 : 1;
    if (Math.sign(event.deltaY) !== Math.sign(wheel)) wheel = 0;
    wheel += event.deltaY * lines;
    if (Math.abs(wheel) < WHEEL_STEP) return;
    viewport.setIndex(viewport.index + Math.sign(wheel));
    wheel = 0;
  }, { ...options, passive: false });
  return () => controller.abort();
}
