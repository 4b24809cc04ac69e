/** text/event-stream read from bytes (HTML Standard 9.2.6): events out of chunks cut anywhere. */

export interface StreamEvent {
  kind: string;
  data: string;
  /** The id that stood at this event or before it; empty before the first. */
  id: string;
}

export class EventParser {
  lastId = "";
  #rest = "";
  #kind = "";
  #data: string[] = [];
  readonly #decoder = new TextDecoder();

  push(chunk: Uint8Array): StreamEvent[] {
    this.#rest += this.#decoder.decode(chunk, { stream: true });
    const lines = this.#rest.split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    return lines.flatMap((line) => this.#line(line));
  }

  #line(line: string): StreamEvent[] {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return []; // a comment: the server's sign of life
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.#kind = value;
    else if (name === "data") this.#data.push(value);
    else if (name === "id" && !value.includes("\0")) this.lastId = value;
    return [];
  }

  #dispatch(): StreamEvent[] {
    const event = { kind: this.#kind || "message", data: this.#data.join("\n"), id: this.lastId };
    const hasData = this.#data.length > 0;
    this.#kind = "";
    this.#data = [];
    return hasData ? [event] : [];
  }
}
