/** The report beside the picture: template, two editors, saved state; what is typed goes into the draft. */
import { language, t } from "../i18n.ts";
import { server } from "../server.ts";
import { openDialog } from "../ui/dialog.ts";
import { timeWithSeconds } from "../ui/format.ts";
import { byId, fill, h } from "../ui/h.ts";
import { words } from "../ui/toast.ts";
import type { Detail, Template } from "./detail.ts";
import { Draft } from "./read_draft.ts";
import { Phrases } from "./read_phrases.ts";
import { askStale } from "./read_stale.ts";
import { typeInto } from "./text_edit.ts";

export const SECTIONS = ["findings", "impression"] as const;
export type Section = (typeof SECTIONS)[number];

export function editor(section: Section): HTMLTextAreaElement {
  return byId<HTMLTextAreaElement>(section);
}

export class ReportPanel {
  draft: Draft | null = null;
  templates: Template[] = [];
  isWritable = false;
  lastEditor: HTMLTextAreaElement = editor("findings");
  onChange: () => void = () => undefined;
  readonly #select = byId<HTMLSelectElement>("template");
  readonly #phrases = new Phrases((section) => this.template?.sections.find((one) => one.code === section)?.phrases ?? []);

  constructor() {
    for (const section of SECTIONS) {
      const field = editor(section);
      field.addEventListener("input", () => this.#typed());
      field.addEventListener("focus", () => (this.lastEditor = field));
      field.addEventListener("keydown", (event) => this.#key(event, field));
    }
    this.#select.addEventListener("change", () => this.#typed());
    byId("insert-normal").addEventListener("click", () => void this.insertNormal());
    byId("insert-phrase").addEventListener("click", () => this.isWritable && this.#phrases.offer(this.lastEditor));
    this.setWritable(false);
    addEventListener("beforeunload", (event) => this.draft?.isDirty && event.preventDefault());
  }

  get template(): Template | undefined {
    return this.templates.find((one) => one.code === this.#select.value);
  }

  /** Templates come after the pictures: they are needed when somebody starts to write. */
  async loadTemplates(detail: Detail): Promise<void> {
    const query = `modality=${encodeURIComponent(detail.modality)}&body_part=${encodeURIComponent(detail.body_part || detail.description)}`;
    const { templates, chosen } = await server.get<{ templates: Template[]; chosen: string }>(`/api/templates?${query}`);
    this.templates = templates;
    fill(this.#select, ...templates.map((one) => h("option", { value: one.code }, one.title[language()])));
    this.#select.value = this.draft?.text.template || detail.report?.template || chosen;
    this.#label();
    if (!this.draft || this.draft.text.template) return;
    if (this.draft.isDirty) this.draft.change({ ...this.draft.text, template: this.#select.value }); // typed before they came
    else this.draft = this.#newDraft(detail);
  }

  /** The text of this workitem; what is typed and not yet saved is never overwritten, nor what an older answer lacks. */
  show(detail: Detail): void {
    if (this.draft && (this.draft.isDirty || (detail.report?.version ?? 0) < this.draft.version)) return;
    this.draft = this.#newDraft(detail);
    this.#write(this.draft.text.sections);
    if (this.draft.text.template) this.#select.value = this.draft.text.template;
    this.#label();
    this.showSaved();
  }

  #newDraft(detail: Detail): Draft {
    const { report } = detail;
    const text = { template: report?.template ?? this.#select.value, sections: report?.sections ?? { findings: "", impression: "" } };
    const draft = new Draft(detail.workitem_uid, report?.version ?? 0, { template: text.template, sections: { ...text.sections } }, report?.updated_at ?? null);
    draft.onChange = () => this.showSaved();
    draft.onSaved = () => this.onChange();
    draft.onStale = () => askStale(draft, (sections, template) => {
      this.#select.value = template;
      this.#write(sections);
      this.onChange();
    });
    return draft;
  }

  #write(sections: Record<string, string>): void {
    for (const section of SECTIONS) {
      const field = editor(section);
      const text = sections[section] ?? "";
      if (field.value !== text) field.value = text;
    }
  }

  setWritable(isWritable: boolean): void {
    this.isWritable = isWritable;
    for (const section of SECTIONS) editor(section).readOnly = !isWritable;
    this.#select.disabled = !isWritable;
    for (const id of ["insert-normal", "insert-phrase"]) byId<HTMLButtonElement>(id).disabled = !isWritable;
  }

  text(section: Section): string {
    return editor(section).value;
  }

  /** False where nothing may be written. */
  insert(text: string): boolean {
    if (this.isWritable) typeInto(this.lastEditor, text);
    return this.isWritable;
  }

  /** F2: the template's normal text; what stands there is replaced only after a question. */
  async insertNormal(): Promise<void> {
    const template = this.template;
    if (!this.isWritable || !template) return;
    const isEmpty = SECTIONS.every((section) => !this.text(section).trim());
    if (!isEmpty && !(await openDialog({ title: t("ui.report.normal"), consequence: t("ui.report.normal_replace"), size: "narrow", primary: { words: t("ui.dialog.confirm"), key: "Enter", run: () => undefined } }).done)) return;
    for (const part of [...template.sections].reverse()) {
      if (SECTIONS.includes(part.code as Section)) typeInto(editor(part.code as Section), part.normal, true);
    }
    editor("findings").setSelectionRange(0, 0);
  }

  #typed(): void {
    const sections = Object.fromEntries(SECTIONS.map((section) => [section, this.text(section)]));
    this.#label();
    for (const section of SECTIONS) sectionError(section, "");
    if (this.isWritable) this.draft?.change({ template: this.#select.value || this.draft.text.template, sections });
    this.onChange();
  }

  #key(event: KeyboardEvent, field: HTMLTextAreaElement): void {
    if (event.code !== "Semicolon" || event.isComposing || event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
    if (!this.isWritable) return;
    event.preventDefault();
    this.#phrases.offer(field);
  }

  #label(): void {
    for (const part of this.template?.sections ?? []) {
      const label = document.querySelector(`label[for="${part.code}"] > span`);
      if (label && label.textContent !== part.label[language()]) label.textContent = part.label[language()];
    }
  }

  showSaved(): void {
    const place = byId("saved-state");
    const { draft } = this;
    place.className = "caption saved";
    if (!draft || (!this.isWritable && !draft.isDirty)) return fill(place);
    if (draft.state === "failed" || draft.state === "refused") {
      place.classList.add("red");
      place.title = words(draft.error);
      return fill(place, draft.state === "refused" ? words(draft.error) : t("ui.report.save_failed"));
    }
    if (draft.state === "saving") return fill(place, t("ui.report.saving"));
    if (draft.isDirty) return fill(place, t("ui.report.unsaved"));
    fill(place, draft.savedAt && draft.version > 0 ? t("ui.report.saved", { time: timeWithSeconds(draft.savedAt) }) : "");
  }
}

/** What is wrong stands at its field, and the field has the cursor. */
export function sectionError(section: Section, message: string): void {
  const place = byId(`${section}-error`);
  place.hidden = !message;
  fill(place, message);
  if (message) editor(section).setAttribute("aria-invalid", "true");
  else editor(section).removeAttribute("aria-invalid");
}
