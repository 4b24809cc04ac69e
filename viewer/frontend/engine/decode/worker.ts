/** Decodes HTJ2K prefixes with OpenJPH. Gets the compiled codec and the bytes handed in: it fetches nothing. */
import load, { type OpenJph } from "@cornerstonejs/codec-openjph";
import type { DecodeReply, DecodeRequest } from "./messages.ts";

let codec: Promise<OpenJph> | null = null;

function start(module: WebAssembly.Module): Promise<OpenJph> {
  return new Promise((resolve, reject) => {
    load({
      instantiateWasm(imports, done) {
        WebAssembly.instantiate(module, imports).then((instance) => done(instance, module), reject);
        return {};
      },
    }).then(resolve, reject);
  });
}

/** `reduction` is how many times the image is halved; 0 is the whole image. Throws what the codec refuses. */
function decode(jph: OpenJph, bytes: Uint8Array, reduction: number): Omit<DecodeReply & { ok: true }, "id" | "ok"> {
  const decoder = new jph.HTJ2KDecoder();
  try {
    decoder.getEncodedBuffer(bytes.length).set(bytes);
    decoder.readHeader();
    if (!decoder.getIsHeaderValid()) throw new Error("frame_header");
    const info = decoder.getFrameInfo();
    if (info.bitsPerSample > 16) throw new Error("frame_depth");
    const { width, height } = decoder.calculateSizeAtDecompositionLevel(reduction);
    decoder.decodeSubResolution(reduction);
    // The codec reports damage it met by this message, not by throwing.
    if (decoder.getLastErrorMessage()) throw new Error("frame_damaged");
    const decoded = decoder.getDecodedBuffer();
    const wide = info.bitsPerSample > 8;
    const expected = width * height * info.componentCount * (wide ? 2 : 1);
    if (decoded.length !== expected) throw new Error("frame_size");
    const buffer = decoded.slice().buffer;
    const samples = wide ? new Uint16Array(buffer) : new Uint8Array(buffer);
    return { width, height, components: info.componentCount, signed: info.isSigned, samples };
  } finally {
    decoder.delete();
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && error.message.startsWith("frame_") ? error.message : "frame_damaged";
}

async function answer(request: DecodeRequest): Promise<void> {
  if (request.kind === "start") {
    codec = start(request.module);
    codec.catch(() => undefined); // each frame says it
    return;
  }
  let reply: DecodeReply;
  try {
    if (!codec) throw new Error("frame_no_codec");
    reply = { id: request.id, ok: true, ...decode(await codec, request.bytes, request.reduction) };
  } catch (error) {
    reply = { id: request.id, ok: false, code: codeOf(error) };
  }
  postMessage(reply, reply.ok ? { transfer: [reply.samples.buffer] } : {});
}

addEventListener("message", (event: MessageEvent<DecodeRequest>) => void answer(event.data));
