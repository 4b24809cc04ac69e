declare module "virtual:locale" {
  const sentences: Record<string, { zh: string; en: string }>;
  export default sentences;
}

/** File names beside the bundle, put in by build.mjs. */
declare const DECODE_WORKER_FILE: string;
declare const DECODE_WASM_FILE: string;

declare module "@cornerstonejs/codec-openjph" {
  export interface FrameInfo {
    width: number;
    height: number;
    bitsPerSample: number;
    componentCount: number;
    isSigned: boolean;
  }
  export interface HTJ2KDecoder {
    getEncodedBuffer(length: number): Uint8Array;
    getDecodedBuffer(): Uint8Array;
    readHeader(): void;
    decodeSubResolution(level: number): void;
    calculateSizeAtDecompositionLevel(level: number): { width: number; height: number };
    getFrameInfo(): FrameInfo;
    getNumDecompositions(): number;
    getIsHeaderValid(): boolean;
    getLastErrorMessage(): string;
    delete(): void;
  }
  export interface OpenJph {
    HTJ2KDecoder: new () => HTJ2KDecoder;
  }
  type Instantiate = (
    imports: WebAssembly.Imports,
    done: (instance: WebAssembly.Instance, module: WebAssembly.Module) => void,
  ) => object;
  export default function load(options: { instantiateWasm?: Instantiate }): Promise<OpenJph>;
}
