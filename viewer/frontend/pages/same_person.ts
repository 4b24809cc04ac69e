/** Why two patients are held to be one person, in words. */
import { t } from "../i18n.ts";

export interface Tie {
  how: string;
  reasons: string[];
  by: string | null;
}

export function reasonWords(reasons: readonly string[]): string {
  return reasons.map((reason) => t(`person.reason.${reason}`)).join(" · ");
}

/** `同一人依据：证件号相同 · 出生日期相同（自动关联）`. */
export function samePerson(tie: Tie): string {
  const how = tie.how === "automatic" ? t("page.person.automatic") : t("page.person.accepted", { name: tie.by ?? "—" });
  return `${t("page.person.same_person")} ${reasonWords(tie.reasons)} (${how})`;
}
