/** /login works without this; with it the password can be shown, Caps Lock is said, and the state of the service. */
import { server } from "../server.ts";
import { t } from "../i18n.ts";
import { byId, fill, h, icon } from "../ui/h.ts";

export function login(): void {
  const password = byId<HTMLInputElement>("password");
  const reveal = byId<HTMLButtonElement>("reveal-password");
  reveal.addEventListener("click", () => {
    const isShown = password.type === "password";
    password.type = isShown ? "text" : "password";
    reveal.setAttribute("aria-pressed", String(isShown));
    password.focus();
  });
  const form = byId<HTMLFormElement>("login-form");
  form.addEventListener("submit", (event) => submit(event, form));
  connectCapsLock(password);
  void showHealth();
}

/** An empty field is said here, without a try at the server's door. */
function submit(event: Event, form: HTMLFormElement): void {
  const missing = ["username", "password"].map((id) => byId<HTMLInputElement>(id)).find((input) => !input.value.trim());
  if (missing) {
    event.preventDefault();
    missing.setAttribute("aria-invalid", "true");
    missing.focus();
    return say(t(missing.id === "username" ? "page.login.username_missing" : "page.login.password_missing"));
  }
  byId<HTMLInputElement>("password").type = "password"; // nothing typed in clear is offered for saving
  form.querySelector("[type=submit]")?.setAttribute("aria-busy", "true");
}

function say(words: string): void {
  const place = byId("login-error");
  fill(place.querySelector("span") as Element, words);
  place.hidden = false;
}

function connectCapsLock(password: HTMLInputElement): void {
  const note = h("p", { class: "hint caps", role: "status", hidden: true }, icon("info", 14), t("page.login.caps_lock"));
  password.closest(".field")?.append(note);
  for (const name of ["keydown", "keyup"] as const) {
    password.addEventListener(name, (event) => { note.hidden = !event.getModifierState?.("CapsLock"); });
  }
  password.addEventListener("blur", () => { note.hidden = true; });
}

async function showHealth(): Promise<void> {
  const isWell = await server.get("/healthz").then(() => true, () => false);
  fill(byId("login-health"), t(isWell ? "ui.login.health_ok" : "ui.login.health_bad"));
}
