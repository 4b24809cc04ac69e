/** The session has run out in mid-work: the same person logs in over the page, and nothing typed is lost. */
import { t } from "../i18n.ts";
import { ApiError, type Server } from "../server.ts";
import { type Dialog, field, openDialog } from "./dialog.ts";
import { h } from "./h.ts";
import { me } from "./item.ts";

interface Renewed {
  username: string;
  csrf_token: string;
}

/** Other tabs of this browser share the cookie: one log-in serves them all. Carries no patient data. */
const CHANNEL = "teleread-session";

/** Answers `server.onSessionExpired` with an overlay for the password of the person who was here. */
export function installRelogin(server: Server): void {
  const channel = new BroadcastChannel(CHANNEL);
  let open: Dialog | null = null;
  channel.addEventListener("message", (event: MessageEvent<Renewed>) => {
    if (!event.data.username) return leave();
    if (event.data.username !== me().username) return location.reload(); // somebody else sits here now
    useToken(event.data.csrf_token);
    open?.close(true);
  });
  server.onSessionExpired = async () => {
    open = overlay(async (password) => {
      const renewed = await server.post<Renewed>("/api/session/relogin", { password });
      useToken(renewed.csrf_token);
      channel.postMessage({ username: renewed.username, csrf_token: renewed.csrf_token } satisfies Renewed);
    });
    await open.done;
    open = null;
  };
}

let isLeaving = false;

/** Logged out, here or in another tab: nothing of a patient stays, and whoever comes next starts anew. */
export function leave(): void {
  if (isLeaving) return; // the tab that logs out hears its own message too
  isLeaving = true;
  document.body.replaceChildren();
  location.replace("/login");
}

function useToken(token: string): void {
  document.querySelector<HTMLMetaElement>('meta[name="csrf-token"]')?.setAttribute("content", token);
}

function overlay(logIn: (password: string) => Promise<void>): Dialog {
  const input = h("input", { class: "input", name: "password", type: "password", autocomplete: "current-password", autofocus: true, required: true });
  const name = me().name;
  return openDialog({
    title: t("ui.relogin.title"),
    icon: "lock",
    consequence: t("ui.relogin.consequence"),
    size: "narrow",
    mayLeave: false,
    body: [
      field(t("ui.relogin.password", { name }), input),
      h("a", { class: "caption link", href: "/login" }, t("ui.relogin.other")),
    ],
    primary: { words: t("ui.relogin.submit"), key: "Enter", run: (fields) => attempt(() => logIn(String(fields.get("password") ?? "")), input) },
  });
}

async function attempt(logIn: () => Promise<void>, input: HTMLInputElement): Promise<void> {
  try {
    await logIn();
  } catch (error) {
    input.value = "";
    if (error instanceof ApiError && error.code === "session_ended") location.assign("/login"); // logged out or revoked
    if (error instanceof ApiError && error.status === 0) throw new Error(t("ui.relogin.offline"));
    throw error;
  }
}
