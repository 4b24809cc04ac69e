/** The only place of the page that talks to the server: JSON with CSRF, errors with codes, bytes with progress. */
import { t } from "./i18n.ts";

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly details: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
  }
}

export interface ByteRequest {
  start?: number;
  /** First byte not wanted any more; the whole rest when absent. */
  end?: number;
  signal?: AbortSignal;
  /** `offset` is where the chunk belongs in the whole, also when the server ignored the range. */
  onChunk: (chunk: Uint8Array, offset: number) => void;
}

export type FetchBytes = (path: string, request: ByteRequest) => Promise<void>;

export class Server {
  /** Called when the session has run out; resolves when somebody has logged in again. */
  onSessionExpired: () => Promise<void> = () => Promise.reject(new Error("session_expired"));
  #renewal: Promise<void> | null = null;

  get<T>(path: string, signal?: AbortSignal): Promise<T> {
    return this.#json<T>(path, { method: "GET", signal });
  }

  post<T>(path: string, body: unknown = {}): Promise<T> {
    return this.#json<T>(path, withBody("POST", body));
  }

  put<T>(path: string, body: unknown): Promise<T> {
    return this.#json<T>(path, withBody("PUT", body));
  }

  patch<T>(path: string, body: unknown): Promise<T> {
    return this.#json<T>(path, withBody("PATCH", body));
  }

  delete<T>(path: string): Promise<T> {
    return this.#json<T>(path, { method: "DELETE" });
  }

  /** An upload: the body goes as it is (FormData, Blob). */
  upload<T>(path: string, body: FormData | Blob): Promise<T> {
    return this.#json<T>(path, { method: "POST", body });
  }

  /** An upload that tells how much of it has left this machine, 0–1. */
  async uploadWithProgress<T>(path: string, body: FormData, onProgress: (share: number) => void): Promise<T> {
    try {
      return await uploadOnce<T>(path, body, onProgress);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401 || error.code !== "session_expired") throw error;
      await this.#renew();
      return uploadOnce<T>(path, body, onProgress);
    }
  }

  async text(path: string, signal?: AbortSignal): Promise<string> {
    return (await this.#send(path, { method: "GET", signal })).text();
  }

  async buffer(path: string): Promise<ArrayBuffer> {
    return (await this.#send(path, { method: "GET" })).arrayBuffer();
  }

  readonly bytes: FetchBytes = async (path, request) => {
    const start = request.start ?? 0;
    const ranged = start > 0 || request.end !== undefined;
    const headers = ranged ? { Range: `bytes=${start}-${request.end === undefined ? "" : request.end - 1}` } : undefined;
    const response = await this.#send(path, { method: "GET", headers, signal: request.signal });
    let offset = response.status === 206 ? start : 0;
    const reader = response.body?.getReader();
    for (;;) {
      const step = await reader?.read();
      if (!step || step.done) return;
      request.onChunk(step.value, offset);
      offset += step.value.length;
    }
  };

  async #json<T>(path: string, init: RequestInit): Promise<T> {
    const response = await this.#send(path, init);
    // An answer that breaks off is none.
    return (response.status === 204 ? undefined : await response.json().catch(() => Promise.reject(silence()))) as T;
  }

  async #send(path: string, init: RequestInit, mayRenew = true): Promise<Response> {
    const response = await request(path, init);
    if (response.ok) return response;
    const error = await errorOf(response);
    if (!mayRenew || error.status !== 401 || error.code !== "session_expired") throw error;
    await this.#renew();
    return this.#send(path, init, false);
  }

  /** Many requests may meet the same end of the session: one log-in serves them all. */
  #renew(): Promise<void> {
    this.#renewal ??= this.onSessionExpired().finally(() => (this.#renewal = null));
    return this.#renewal;
  }
}

function withBody(method: string, body: unknown): RequestInit {
  return { method, body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
}

/** Read anew each time: logging in again brings a new token. */
function csrfToken(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="csrf-token"]')?.content ?? "";
}

async function request(path: string, init: RequestInit): Promise<Response> {
  const headers = new Headers(init.headers);
  const token = csrfToken();
  if (token && init.method !== "GET") headers.set("X-CSRF-Token", token);
  headers.set("Accept-Language", document.documentElement.lang || "zh");
  try {
    return await fetch(path, { ...init, headers, credentials: "same-origin" });
  } catch (cause) {
    throw init.signal?.aborted ? cause : silence();
  }
}

/** XMLHttpRequest, because fetch does not say how far an upload is. */
function uploadOnce<T>(path: string, body: FormData, onProgress: (share: number) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.responseType = "json";
    const token = csrfToken();
    if (token) request.setRequestHeader("X-CSRF-Token", token);
    request.setRequestHeader("Accept-Language", document.documentElement.lang || "zh");
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / Math.max(1, event.total));
    request.onerror = request.onabort = () => reject(silence());
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) resolve(request.response as T);
      else reject(errorFrom(request.status, request.response));
    };
    request.send(body);
  });
}

/** The server did not answer, in words for whoever sits there. */
function silence(): ApiError {
  return new ApiError(0, "network", t("page.offline"));
}

async function errorOf(response: Response): Promise<ApiError> {
  return errorFrom(response.status, await response.json().catch(() => null));
}

function errorFrom(status: number, body: unknown): ApiError {
  const error = (body as { error?: { code?: string; message?: string; details?: Record<string, unknown> } } | null)?.error;
  return new ApiError(status, error?.code ?? `http_${status}`, error?.message ?? t("page.refused", { status }), error?.details);
}

export const server = new Server();
