/** The server's time: countdowns must not depend on a reading room's clock. */

let offsetMs = 0;

/** Call with the `now` of any answer; the way there and back is well under a second. */
export function setServerNow(iso: string): void {
  const server = Date.parse(iso);
  if (Number.isFinite(server)) offsetMs = server - Date.now();
}

/** Milliseconds since 1970 by the server's clock. */
export function serverNow(): number {
  return Date.now() + offsetMs;
}
