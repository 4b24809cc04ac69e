/** The items of the list that a query names, page after page. */
import { server } from "../server.ts";
import { setServerNow } from "../ui/clock.ts";
import type { WorklistItem } from "../ui/item.ts";

interface Answer {
  items: WorklistItem[];
  next: string | null;
  now: string;
}

/** The server's own limit of a page. */
const PAGE = 500;

/** Takes the server's time from each answer. More than `most` is not asked for. */
export async function loadItems(query: Readonly<Record<string, string>>, most = 5000): Promise<WorklistItem[]> {
  const items: WorklistItem[] = [];
  let cursor: string | null = null;
  do {
    const answer: Answer = await server.post<Answer>("/api/worklist/search", { ...query, limit: String(Math.min(PAGE, most)), ...(cursor ? { cursor } : {}) });
    setServerNow(answer.now);
    items.push(...answer.items);
    cursor = answer.next;
  } while (cursor && items.length < most);
  return items;
}
