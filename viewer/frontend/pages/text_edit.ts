/** Puts text into a text field as if it were typed, so that Ctrl+Z takes it back. */

export function typeInto(field: HTMLTextAreaElement, text: string, isAll = false): void {
  field.focus();
  if (isAll) field.select();
  // execCommand is old, and the only way that keeps the field's own undo.
  if (text && document.execCommand("insertText", false, text)) return;
  if (!text && document.execCommand("delete")) return;
  const [from, to] = isAll ? [0, field.value.length] : [field.selectionStart, field.selectionEnd];
  field.setRangeText(text, from, to, "end");
  field.dispatchEvent(new InputEvent("input", { bubbles: true }));
}
