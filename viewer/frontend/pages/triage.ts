/** Words of a complaint that speak for a green channel: a hint for the technician, never a decision. */

export type Pathway = "chest_pain" | "stroke";

export interface Hint {
  pathway: Pathway;
  /** The words that were found, with the duration that follows them. */
  words: string;
}

const DURATION = /^[\s,，]*(?:约|近|有)?\s*[\d.一二两三四五六七八九十半]+\s*(?:个)?(?:多)?(?:小时|分钟|分|天|h\b|hours?|min)/i;
const PATTERNS: Readonly<Record<Pathway, RegExp>> = {
  chest_pain: /胸痛|胸闷|胸口[疼痛闷]|胸部(?:压榨|剧痛)|心前区(?:疼痛|不适|压榨|痛)|压榨(?:样|性)|濒死感|chest (?:pain|tightness|pressure)/i,
  stroke: /卒中|中风|偏瘫|(?:[左右一]侧|单侧)?(?:上肢|下肢|肢体|手脚)(?:麻木)?(?:无力|不能动|偏瘫)|言语(?:不清|困难|含糊)|说话不清|口齿不清|失语|[口嘴]角?(?:眼)?歪斜|嘴歪|stroke|hemipar|slurred speech|facial droop|one-sided weakness/i,
};
const NEGATION = /(?:否认|没有|未见|未诉|排除|除外|不伴|无|denies|denied|without|\bno\b)[^，,。；;、]*$/i;
/** What a negation reaches: 否认胸痛、胸闷 denies both, 否认高血压，胸痛 2 小时 does not deny the pain. */
const CLAUSE_END = /[，,。；;]/;

/** The first pathway the words speak for, stroke before chest pain; null where they say nothing or deny it. */
export function hint(complaint: string): Hint | null {
  for (const pathway of ["stroke", "chest_pain"] as const) {
    const found = complaint.split(CLAUSE_END).flatMap((clause) => positive(clause, PATTERNS[pathway]));
    // A symptom with its duration says more than one without.
    const words = found.find(({ hasDuration }) => hasDuration) ?? found[0];
    if (words) return { pathway, words: words.words };
  }
  return null;
}

function positive(clause: string, pattern: RegExp): { words: string; hasDuration: boolean }[] {
  const found = [];
  for (const match of clause.matchAll(new RegExp(pattern.source, "gi"))) {
    if (NEGATION.test(clause.slice(0, match.index).replace(/、/g, ""))) continue;
    const duration = DURATION.exec(clause.slice(match.index + match[0].length))?.[0] ?? "";
    found.push({ words: match[0] + duration, hasDuration: duration !== "" });
  }
  return found;
}
