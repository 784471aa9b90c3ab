// A small generator of chance, so that a failure can be repeated by its seed.

/** Numbers from 0 to below `below`. */
export function chance(seed: number): (below: number) => number {
  let state = (seed + 1) * 2654435769;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}
