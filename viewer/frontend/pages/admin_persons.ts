/** /admin/persons: who may be one person, who is, and what a named person says of it. */
import { t } from "../i18n.ts";
import { server } from "../server.ts";
import { setServerNow } from "../ui/clock.ts";
import { askReason } from "../ui/dialog.ts";
import { fullDate, modality, moment, siteName } from "../ui/format.ts";
import { byId, type Child, fill, h } from "../ui/h.ts";
import { installRelogin } from "../ui/relogin.ts";
import { connectUserMenu } from "../ui/shell.ts";
import { toast } from "../ui/toast.ts";
import { reasonWords } from "./same_person.ts";
import { emptyState, loadInto } from "./states.ts";

export interface IndexedPatient {
  patient_pk: number;
  name: string;
  name_pinyin: string;
  name_is_doubtful: boolean;
  patient_id: string | null;
  sex: string | null;
  birth_date: string | null;
  site: { code: string; name: string; name_en: string };
  numbers: { kind: string; masked: string; is_valid: boolean }[];
  studies: { study_instance_uid: string; modality: string; description: string; acquired_at: string; n_instances: number }[];
}

interface Proposal {
  proposal_id: number;
  state: "open" | "flagged";
  score: number;
  reasons: string[];
  patients: [IndexedPatient, IndexedPatient];
}

interface Linked {
  person_id: number;
  links: { link_id: number; how: string; reasons: string[]; score: number; at: string; by: string | null; patient: IndexedPatient }[];
}

export function persons(): void {
  installRelogin(server);
  connectUserMenu();
  byId("number-form").addEventListener("submit", (event) => {
    event.preventDefault();
    void search();
  });
  void start();
}

async function start(): Promise<void> {
  const { now } = await server.get<{ now: string }>("/api/session");
  setServerNow(now);
  await load();
}

async function load(): Promise<void> {
  await Promise.all([loadInto(byId("proposals"), loadProposals, () => byId("proposals").querySelector("article") !== null), loadInto(byId("linked"), loadLinked, () => byId("linked").querySelector("article") !== null)]);
}

async function loadProposals(): Promise<void> {
  const { proposals } = await server.get<{ proposals: Proposal[] }>("/api/persons/proposals");
  fill(byId("n-proposals"), proposals.length || "");
  fill(byId("proposals"), ...(proposals.length ? proposals.map(proposalCase) : [emptyState("check", t("page.person.none"))]));
}

async function loadLinked(): Promise<void> {
  const { persons: people } = await server.get<{ persons: Linked[] }>("/api/persons");
  fill(byId("n-linked"), people.length || "");
  fill(byId("linked"), ...(people.length ? people.map(linkedCase) : [emptyState("link", t("page.person.none_linked"))]));
}

async function search(): Promise<void> {
  const input = byId<HTMLInputElement>("number");
  const number = input.value.trim();
  if (!number) return;
  input.value = ""; // a number does not stay on a screen
  const { patients } = await server.post<{ patients: IndexedPatient[] }>("/api/persons/search", { number });
  byId("found-panel").hidden = false;
  fill(byId("found"), ...(patients.length ? patients.map((one) => patientCard(one)) : [h("p", { class: "tx2" }, t("page.person.not_found"))]));
}

function proposalCase(proposal: Proposal): HTMLElement {
  const isFlagged = proposal.state === "flagged";
  const [one, other] = proposal.patients;
  const at = `/api/persons/proposals/${proposal.proposal_id}`;
  const accept = ask(t("page.person.accept_title"), t("page.person.accept_consequence"), t("page.person.accept"), `${at}/accept`);
  const refuse = ask(t("page.person.refuse_title"), t("page.person.refuse_consequence"), t(isFlagged ? "page.person.settle" : "page.person.refuse"), `${at}/refuse`);
  return h("article", { class: "person-case", "data-proposal": proposal.proposal_id },
    h("header", {},
      isFlagged ? h("span", { class: "chip red" }, t("page.person.flagged")) : h("span", { class: "chip accent" }, t("page.person.score", { n: proposal.score })),
      h("span", { class: isFlagged ? "red" : "tx2" }, reasonWords(proposal.reasons)),
      h("span", { class: "right" },
        h("button", { class: "btn small", type: "button", onclick: refuse }, t(isFlagged ? "page.person.settle" : "page.person.refuse")),
        !isFlagged && h("button", { class: "btn small primary", type: "button", onclick: accept }, t("page.person.accept")))),
    h("div", { class: "person-pair" }, patientCard(one, other), patientCard(other, one)));
}

function linkedCase(person: Linked): HTMLElement {
  const first = person.links[0]?.patient;
  return h("article", { class: "person-case", "data-person": person.person_id },
    h("div", { class: "person-pair" }, ...person.links.map((link) => patientCard(link.patient, first,
      h("p", { class: "caption" }, link.how === "automatic" ? t("page.person.automatic") : t("page.person.accepted", { name: link.by ?? "—" }), ` · ${moment(link.at)}`),
      h("p", { class: "caption" }, reasonWords(link.reasons)),
      h("button", { class: "link red", type: "button", onclick: ask(t("page.person.undo_title"), t("page.person.undo_consequence"), t("page.person.undo"), `/api/persons/links/${link.link_id}/undo`) }, t("page.person.undo"))))));
}

function ask(title: string, consequence: string, words: string, path: string): () => void {
  return () => void askReason({
    title, consequence, words,
    run: async (reason) => {
      await server.post(path, { reason });
      toast({ kind: "success", title: t("page.person.done") });
      await load();
    },
  });
}

/** A patient of one site; what `other` says differently stands out. */
export function patientCard(patient: IndexedPatient, other?: IndexedPatient, ...more: Child[]): HTMLElement {
  const fact = (label: string, value: string, otherValue?: string): Child[] => [
    h("dt", {}, label), h("dd", { class: otherValue !== undefined && otherValue !== value ? "differs" : null }, value || "—"),
  ];
  const sex = (one?: IndexedPatient): string | undefined => one && (one.sex ? t(`ui.sex.${one.sex}`) : "");
  return h("div", { class: "person-card", "data-patient": patient.patient_pk },
    h("h3", { class: other && other.name !== patient.name ? "differs" : null }, patient.name || "—", " ", h("small", { class: "tx3" }, patient.name_pinyin)),
    h("dl", {},
      ...fact(t("page.repair.site"), siteName(patient.site)),
      ...fact(t("page.repair.patient_id"), patient.patient_id ?? ""),
      ...fact(t("page.repair.sex"), sex(patient) ?? "", sex(other)),
      ...fact(t("page.repair.birth_date"), patient.birth_date ?? "", other && (other.birth_date ?? "")),
      h("dt", {}, t("page.repair.number")),
      h("dd", {}, ...(patient.numbers.length ? patient.numbers.map((one) => h("div", {}, h("span", { class: "mono" }, one.masked), " ", h("small", { class: one.is_valid ? "tx3" : "red" }, one.is_valid ? t(`page.person.${one.kind}`) : t("page.person.invalid")))) : [t("page.person.no_number")]))),
    h("div", { class: "person-studies" }, ...(patient.studies.length ? patient.studies.map((one) => h("div", {}, `${fullDate(one.acquired_at)} ${modality(one.modality)} ${one.description}`)) : [t("page.person.studies_none")])),
    ...more);
}
