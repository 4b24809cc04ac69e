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
  readonly #workers: Worker[] = [];
  readonly #idle: Worker[] = [];
  readonly #running = new Map<number, { job: Job; worker: Worker }>();
  readonly #waiting: Job[] = [];
  #nextId = 1;

  /** `wasm` gives the codec's bytes; the workers start as soon as they are compiled. */
  constructor(wasm: Promise<ArrayBuffer>, size = (navigator.hardwareConcurrency || 2) > 2 ? 2 : 1) {
    wasm.then((bytes) => WebAssembly.compile(bytes)).then(
      (module) => {
        for (let index = 0; index < size; index++) this.#start(module);
        this.#pump();
      },
      () => this.#failAll("frame_no_codec"),
    );
  }

  readonly decode: Decode = (bytes, reduction, urgent) =>
    new Promise((resolve, reject) => {
      const job = { bytes, reduction, resolve, reject };
      if (urgent) this.#waiting.unshift(job);
      else this.#waiting.push(job);
      this.#pump();
    });

  close(): void {
    for (const worker of this.#workers) worker.terminate();
    this.#failAll("frame_closed");
  }

  #start(module: WebAssembly.Module): void {
    const worker = new Worker(new URL(DECODE_WORKER_FILE, import.meta.url), { type: "module" });
    worker.addEventListener("message", (event: MessageEvent<DecodeReply>) => this.#finish(event.data));
    worker.addEventListener("error", () => this.#lose(worker));
    this.#send(worker, { kind: "start", module });
    this.#workers.push(worker);
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

  /** A worker that dies takes only the frame it was at with it. */
  #lose(worker: Worker): void {
    for (const [id, running] of this.#running) {
      if (running.worker === worker) this.#finish({ id, ok: false, code: "frame_damaged" });
    }
  }

  #failAll(code: string): void {
    for (const { job } of this.#running.values()) job.reject(new Error(code));
    for (const job of this.#waiting) job.reject(new Error(code));
    this.#running.clear();
    this.#waiting.length = 0;
  }
}
