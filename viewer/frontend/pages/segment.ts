/** A row of buttons of which one is chosen: one stop of Tab, arrows move, a click chooses. */

export interface Segment {
  root: HTMLElement;
  readonly value: string;
  set(value: string): void;
}

/** `attribute` names the buttons' values (`data-value`, `data-filter`); `onChange` is told by a person's hand only. */
export function segment(root: HTMLElement, attribute: string, onChange: (value: string) => void = () => undefined): Segment {
  const buttons = [...root.querySelectorAll<HTMLButtonElement>(`button[data-${attribute}]`)];
  const valueOf = (button: HTMLButtonElement | undefined): string => button?.dataset[attribute] ?? "";
  const chosen = (): HTMLButtonElement | undefined => buttons.find((button) => button.getAttribute("aria-pressed") === "true");
  const set = (value: string): void => {
    for (const button of buttons) button.setAttribute("aria-pressed", String(valueOf(button) === value));
    const stop = chosen() ?? buttons[0];
    for (const button of buttons) button.tabIndex = button === stop ? 0 : -1;
  };
  const choose = (button: HTMLButtonElement | undefined): void => {
    if (!button || valueOf(button) === valueOf(chosen())) return;
    set(valueOf(button));
    onChange(valueOf(button));
  };
  root.addEventListener("click", (event) => choose((event.target as HTMLElement).closest("button") ?? undefined));
  root.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
    const next = buttons[(at + step + buttons.length) % buttons.length];
    next?.focus();
    choose(next);
  });
  set(valueOf(chosen()));
  return { root, get value() { return valueOf(chosen()); }, set };
}
