const root = Symbol.for('business-gemini-pool');

const holder = globalThis as typeof globalThis & { [root]?: Map<string, unknown> };
holder[root] ??= new Map();
// A look-up on `globalThis` costs more than one in a map, and a request makes dozens.
const values = holder[root];

/**
 * The one value of that name in this process, made by `init` on first use.
 *
 * The server entry, Next's routes and the instrumentation hook each carry their own copy of every
 * module, so a module variable would exist several times; only `globalThis` is common to all.
 * Test nothing in it by `instanceof`: an instance comes from the copy that made it.
 */
export function processState<T>(name: string, init: () => T): T {
  const known = values.get(name);
  if (known !== undefined) return known as T;
  const made = init();
  values.set(name, made);
  return made;
}
