/** How much of the study may be held, and in which order it is worth loading. */

const MIB = 1024 * 1024;

/** 64 MiB for each GiB of the machine: 256 MiB at 4 GiB, never less than 128, never more than 1024. */
export function cacheCap(deviceMemoryGib: number | undefined): number {
  return Math.min(1024, Math.max(128, 64 * (deviceMemoryGib ?? 4))) * MIB;
}

/** 5, 6, 4, 7, 3 …: from `start` outward within `length`. */
export function* outward(start: number, length: number): Generator<number> {
  for (let step = 0; step < length; step++) {
    if (start + step < length) yield start + step;
    if (step > 0 && start - step >= 0) yield start - step;
  }
}
