/** One or two decode workers; what is looked at goes first. */
import type { Raster } from "../lut.ts";
import type { DecodeReply, DecodeRequest } from "./messages.ts";

interface Job {
  bytes: Uint8Array;
  reduction: number;
  resolve: (raster: Raster) => void;
  reject: (error: Error) => void;
}

export type Decode = (bytes: Uint8Array, reduction: number, urgent: boolean) => Promise<Raster>;

export class DecodePool {
  readonly #workers = new Set<Worker>();
  readonly #idle: Worker[] = [];
  readonly #running = new Map<number, { job: Job; worker: Worker }>();
  readonly #waiting: Job[] = [];
  #starting: Promise<void> | null = null;
  #isClosed = false;
  #nextId = 1;

  /** `wasm` gives the codec's bytes; it is asked at once, and again by a later job where it failed. */
  constructor(private readonly wasm: () => Promise<ArrayBuffer>, private readonly size = (navigator.hardwareConcurrency || 2) > 2 ? 2 : 1) {
    this.#ensure();
  }

  #ensure(): void {
    if (this.#workers.size > 0 || this.#isClosed) return;
    this.#starting ??= this.wasm()
      .then((bytes) => WebAssembly.compile(bytes))
      .then((module) => {
        for (let index = 0; index < this.size && !this.#isClosed; index++) this.#start(module);
        this.#pump();
      })
      .catch(() => this.#failAll("frame_no_codec"))
      .finally(() => (this.#starting = null));
  }

  readonly decode: Decode = (bytes, reduction, urgent) =>
    new Promise((resolve, reject) => {
      const job = { bytes, reduction, resolve, reject };
      if (urgent) this.#waiting.unshift(job);
      else this.#waiting.push(job);
      this.#ensure();
      this.#pump();
    });

  close(): void {
    this.#isClosed = true;
    for (const worker of this.#workers) worker.terminate();
    this.#workers.clear();
    this.#idle.length = 0;
    this.#failAll("frame_closed");
  }

  #start(module: WebAssembly.Module): void {
    const worker = new Worker(new URL(DECODE_WORKER_FILE, import.meta.url), { type: "module" });
    worker.addEventListener("message", (event: MessageEvent<DecodeReply>) => this.#finish(event.data));
    worker.addEventListener("error", () => this.#lose(worker));
    this.#send(worker, { kind: "start", module });
    this.#workers.add(worker);
    this.#idle.push(worker);
  }

  #send(worker: Worker, request: DecodeRequest): void {
    worker.postMessage(request, request.kind === "decode" ? [request.bytes.buffer] : []);
  }

  #pump(): void {
    while (this.#idle.length > 0 && this.#waiting.length > 0) {
      const worker = this.#idle.pop() as Worker;
      const job = this.#waiting.shift() as Job;
      const id = this.#nextId++;
      this.#running.set(id, { job, worker });
      this.#send(worker, { kind: "decode", id, bytes: job.bytes, reduction: job.reduction });
    }
  }

  #finish(reply: DecodeReply): void {
    const running = this.#running.get(reply.id);
    if (!running) return;
    this.#running.delete(reply.id);
    this.#idle.push(running.worker);
    if (reply.ok) running.job.resolve(reply);
    else running.job.reject(new Error(reply.code));
    this.#pump();
  }

  /** A worker that dies, or never came to life, takes only the frame it was at with it; the last one is replaced when asked for. */
  #lose(worker: Worker): void {
    worker.terminate();
    this.#workers.delete(worker);
    if (this.#idle.includes(worker)) this.#idle.splice(this.#idle.indexOf(worker), 1);
    for (const [id, { job, worker: lost }] of this.#running) {
      if (lost !== worker) continue;
      this.#running.delete(id);
      job.reject(new Error("frame_damaged"));
    }
    if (this.#workers.size === 0) this.#failAll("frame_no_codec");
  }

  #failAll(code: string): void {
    for (const { job } of this.#running.values()) job.reject(new Error(code));
    for (const job of this.#waiting) job.reject(new Error(code));
    this.#running.clear();
    this.#waiting.length = 0;
  }
}
