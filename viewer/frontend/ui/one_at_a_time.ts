/** A load that many things ask for: one is under way at a time, and who asks meanwhile gets a new answer after it. */

export class OneAtATime {
  #running: Promise<void> | null = null;
  #following: Promise<void> | null = null;

  constructor(private readonly run: () => Promise<void>) {}

  get isRunning(): boolean {
    return this.#running !== null;
  }

  /** Resolves with an answer that was asked for not earlier than now: an older one may lack what has just been done. */
  ask(): Promise<void> {
    if (!this.#running) return this.#start();
    this.#following ??= this.#running.catch(() => undefined).then(() => {
      this.#following = null;
      return this.#running ?? this.#start();
    });
    return this.#following;
  }

  #start(): Promise<void> {
    this.#running = this.run().finally(() => (this.#running = null));
    return this.#running;
  }
}
