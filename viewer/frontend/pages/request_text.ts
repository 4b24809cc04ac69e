/** The words of a request: what is denied is greyed, what the lane follows from is underlined. */
import { h } from "../ui/h.ts";

/** A denial reaches to the next mark of punctuation. */
const NEGATED = /(?:否认|未诉|未见|不伴|没有|无(?!力|痛性|尿|名|故))[^，,。；;、]*(?:、[^，,。；;、]*)*/gu;
/** The pathways' complaints (research: triage words); only underlined, never judged. */
const MATCHED = /胸痛|胸闷|心悸|晕厥|黑[矇蒙曚懞朦]|呼吸困难|咯血|痰中带血|大汗|(?:[左右双]侧)?肢体(?:无力|麻木)|偏瘫|口角歪斜|言语不清|失语|意识(?:不清|障碍)|抽搐|(?:剧烈)?头痛|呕血|车祸|外伤|坠落/gu;

export function requestText(words: string): Node[] {
  return split(words, NEGATED, (denied) => [h("s", { class: "negated" }, denied)], underlined);
}

function underlined(words: string): Node[] {
  return split(words, MATCHED, (found) => [h("mark", {}, found)], (rest) => [document.createTextNode(rest)]);
}

function split(words: string, pattern: RegExp, hit: (text: string) => Node[], other: (text: string) => Node[]): Node[] {
  const made: Node[] = [];
  let from = 0;
  for (const match of words.matchAll(pattern)) {
    if (match.index > from) made.push(...other(words.slice(from, match.index)));
    made.push(...hit(match[0]));
    from = match.index + match[0].length;
  }
  if (from < words.length) made.push(...other(words.slice(from)));
  return made;
}
