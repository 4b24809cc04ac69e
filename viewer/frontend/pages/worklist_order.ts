/** What stands in the list, in which order, and which examination comes next. */
import { serverNow } from "../ui/clock.ts";
import { LANES, type Me, SIGNED, type WorklistItem } from "../ui/item.ts";
import { isBarred, isHeldByAnother, isQualified } from "../ui/row.ts";

export type Mine = "" | "assigned" | "claimed" | "verify" | "to_verify" | "returned_for_edit" | "signed_today";

export interface Filters {
  lane: string;
  mine: Mine;
  kind: string;
  site: string;
  modality: string;
  isOpenOnly: boolean;
  isUnmatched: boolean;
  /** Workitems the server found for the words typed; null where nothing is searched. */
  found: ReadonlySet<string> | null;
}

export const NO_FILTERS: Filters = {
  lane: "all", mine: "", kind: "", site: "", modality: "", isOpenOnly: true, isUnmatched: false, found: null,
};

export function isOpen(item: WorklistItem): boolean {
  return item.state === "SCHEDULED" || item.state === "IN PROGRESS";
}

export function isMine(item: WorklistItem, person: Me): boolean {
  return item.claimed_by_id === person.accountId;
}

/** A verification is for reviewers, and never for the author. */
function mayPerform(item: WorklistItem, person: Me): boolean {
  if (item.step === "verification" && person.role !== "reviewer") return false;
  return isOpen(item) && isQualified(item, person) && !isBarred(item, person);
}

export function mayTake(item: WorklistItem, person: Me): boolean {
  return mayPerform(item, person) && !isHeldByAnother(item, person);
}

/** Another holds it: whether they left it lying is for the server to say. */
export function mayTakeOver(item: WorklistItem, person: Me): boolean {
  return mayPerform(item, person) && isHeldByAnother(item, person) && person.role !== "trainee";
}

/** Work that waits or is one's own can be given to another. */
export function mayReassign(item: WorklistItem, person: Me): boolean {
  return isOpen(item) && isQualified(item, person) && !isHeldByAnother(item, person) && person.role !== "trainee";
}

const BY_MINE: Readonly<Record<Exclude<Mine, "">, (item: WorklistItem, person: Me) => boolean>> = {
  assigned: (item, person) => isOpen(item) && item.assigned_to_id === person.accountId,
  claimed: (item, person) => isOpen(item) && isMine(item, person),
  verify: (item, person) => item.step === "verification" && mayTake(item, person),
  to_verify: (item, person) => item.status === "to_verify" && item.step !== "verification" && isMine(item, person),
  returned_for_edit: (item, person) => isOpen(item) && item.status === "returned_for_edit" && (isMine(item, person) || item.assigned_to_id === person.accountId),
  signed_today: (item, person) => SIGNED.includes(item.status) && isMine(item, person) && !isOpen(item),
};

export function belongsToMine(item: WorklistItem, mine: Mine, person: Me): boolean {
  return mine === "" || BY_MINE[mine](item, person);
}

export function isUnmatched(item: WorklistItem): boolean {
  return isOpen(item) && item.order.made_from_object;
}

export function passes(item: WorklistItem, filters: Filters, person: Me): boolean {
  if (filters.found && !filters.found.has(item.workitem_uid)) return false;
  if (filters.lane !== "all" && item.lane !== filters.lane) return false;
  if (filters.kind && item.kind !== filters.kind) return false;
  if (filters.site && item.originating_site.code !== filters.site) return false;
  if (filters.modality && item.modality !== filters.modality) return false;
  if (filters.isUnmatched && !isUnmatched(item)) return false;
  if (filters.mine) return belongsToMine(item, filters.mine, person);
  return !filters.isOpenOnly || isOpen(item);
}

/** Lane, then what is still open, then due, then arrival. */
export function byUrgency(a: WorklistItem, b: WorklistItem): number {
  return (
    LANES.indexOf(a.lane) - LANES.indexOf(b.lane) ||
    Number(!isOpen(a)) - Number(!isOpen(b)) ||
    Date.parse(a.due_at) - Date.parse(b.due_at) ||
    Date.parse(a.received_at) - Date.parse(b.received_at) ||
    (a.workitem_uid < b.workitem_uid ? -1 : 1)
  );
}

/** Work meant for another waits for that person: what came back to its author always, the rest until it is late. */
function waitsForAnother(item: WorklistItem, person: Me): boolean {
  if (item.assigned_to_id === null || item.assigned_to_id === person.accountId || isMine(item, person)) return false;
  return item.status === "returned_for_edit" || Date.parse(item.due_at) > serverNow();
}

/** Whoever has claimed it goes on with it first; what was meant for another comes last. */
function claimOn(item: WorklistItem, person: Me): number {
  if (isMine(item, person)) return 0;
  if (item.assigned_to_id === person.accountId) return 1;
  return item.assigned_to_id === null ? 2 : 3;
}

/** The examinations this person should read, most urgent first; what is complete goes before what still arrives. */
export function queue(items: Iterable<WorklistItem>, person: Me, except = ""): WorklistItem[] {
  return [...items]
    .filter((item) => item.workitem_uid !== except && mayTake(item, person) && !waitsForAnother(item, person))
    .sort((a, b) =>
      LANES.indexOf(a.lane) - LANES.indexOf(b.lane) ||
      Number(a.input_readiness !== "READY") - Number(b.input_readiness !== "READY") ||
      claimOn(a, person) - claimOn(b, person) ||
      byUrgency(a, b));
}
