// Colours of people: from a fixed palette, chosen by id, so that everybody sees the same one.

/** Each has at least 4.5:1 against white (names are white on it) and 3:1 against both page backgrounds. */
export const PALETTE = [
  "#b4325b", "#8a4fc7", "#4f5bd5", "#1f6fb8", "#0f766e", "#2f7d32", "#8a6100", "#b3500b", "#b03a88", "#5a6b7b",
] as const;

/** Of an AI peer that names none. */
export const AI_COLOR = "#6d4bd8";

/** `color` when it is `#rrggbb`, else one derived from the id. */
export function colorOf(id: string, color?: unknown): string {
  if (typeof color === "string" && /^#[0-9a-f]{6}$/i.test(color)) return color;
  let hash = 2166136261; // FNV-1a
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 16777619);
  return PALETTE[(hash >>> 0) % PALETTE.length] ?? PALETTE[0];
}
