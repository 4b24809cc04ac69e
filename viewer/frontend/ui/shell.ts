/** What every page behind the log-in has: the event stream, the log-in overlay, theme, language, log-out. */
import { server } from "../server.ts";
import { connectBreakGlass } from "./break_glass.ts";
import { installRelogin, leave } from "./relogin.ts";
import { Live, showLiveState } from "./live.ts";
import { toast, words } from "./toast.ts";
import { t } from "../i18n.ts";

export interface Shell {
  live: Live;
}

const YEAR_S = 365 * 24 * 3600;

/** `refresh` loads the page's lists anew; it is called when the stream asks for it. */
export function startShell(refresh: () => void): Shell {
  installRelogin(server);
  connectUserMenu();
  connectBreakGlass();
  const live = new Live(server);
  showLiveState(live, refresh);
  live.subscribe((message) => message.kind === "resync" && refresh());
  live.start();
  return { live };
}

/** The menu at the name: theme and language of this browser, and the way out. */
export function connectUserMenu(): void {
  const menu = document.getElementById("user-menu") as HTMLDetailsElement | null;
  document.addEventListener("click", (event) => {
    if (menu?.open && !menu.contains(event.target as Node)) menu.open = false;
  });
  menu?.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary")?.focus();
  });
  document.getElementById("switch-theme")?.addEventListener("click", switchTheme);
  document.getElementById("switch-language")?.addEventListener("click", (event) => void switchLanguage(event.currentTarget as HTMLElement));
  document.getElementById("logout")?.addEventListener("click", () => void logOut());
}

/** Remembered per default theme: who reads in the dark may administer in the light. */
export function switchTheme(): void {
  const root = document.documentElement;
  const chosen = root.dataset["theme"] === "dark" ? "light" : "dark";
  root.dataset["theme"] = chosen;
  const name = `theme_${root.dataset["defaultTheme"] ?? "light"}`;
  document.cookie = `${name}=${chosen}; path=/; max-age=${YEAR_S}; SameSite=Lax${location.protocol === "https:" ? "; Secure" : ""}`;
}

async function switchLanguage(button: HTMLElement): Promise<void> {
  try {
    await server.post("/api/language", { language: button.dataset["language"] });
    location.reload();
  } catch (error) {
    toast({ kind: "error", title: words(error) });
  }
}

/** The page is emptied before the way to the log-in: nothing of a patient stays behind it, in no tab. */
export async function logOut(): Promise<void> {
  try {
    await server.post("/api/logout");
  } catch (error) {
    // Nobody is to believe in a log-out that did not happen.
    if (!(error instanceof Error && "status" in error && error.status === 401)) {
      return void toast({ kind: "error", title: t("ui.logout_failed") });
    }
  }
  document.body.removeAttribute("data-username"); // nobody sits here now
  const channel = new BroadcastChannel("teleread-session");
  channel.postMessage({ username: "", csrf_token: "" });
  channel.close();
  leave();
}
