type Json = { [name: string]: unknown };

/** The merge patch (RFC 7396) that makes `after` of `before`; `undefined` if they are equal. */
export function mergePatch(before: unknown, after: unknown): unknown {
  if (!isObject(before) || !isObject(after)) return isEqual(before, after) ? undefined : (after ?? null);
  const patch: Json = {};
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const change = mergePatch(before[name], after[name]);
    if (change !== undefined) patch[name] = change;
  }
  return Object.keys(patch).length > 0 ? patch : undefined;
}

/** An absent field and null are the same to a merge patch. */
function isEqual(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((each, i) => isEqual(each, b[i]));
  if (isObject(a) && isObject(b)) return mergePatch(a, b) === undefined;
  return (a ?? null) === (b ?? null);
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
