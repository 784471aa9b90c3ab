// Reading values that others wrote (margin entries, awareness, messages): nothing about their shape may be trusted.

/** A plain object, or an empty one for anything else. */
export const record = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};

/** A string of at most `limit` units, or "" for anything else. */
export const words = (value: unknown, limit = Number.POSITIVE_INFINITY): string =>
  typeof value === "string" ? value.slice(0, limit) : "";

/** A finite number, or undefined for anything else. */
export const finite = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isFinite(value) ? value : undefined;

/** A string that is not empty, or undefined. */
export const some = (value: unknown, limit = 200): string | undefined => words(value, limit) || undefined;

/** One of these strings, or undefined. */
export const oneOf = <T extends string>(value: unknown, choices: readonly T[]): T | undefined =>
  choices.find((choice) => choice === value);

/** JSON that may be anything; undefined when it is none. */
export function parse(json: string | null | undefined): unknown {
  try {
    return json === null || json === undefined || json === "" ? null : (JSON.parse(json) as unknown);
  } catch {
    return undefined;
  }
}

/** What went wrong, in one line. */
export const reason = (error: unknown): string =>
  error instanceof Error ? error.message : typeof error === "string" ? error : words(record(error)["message"]) || "unknown error";
