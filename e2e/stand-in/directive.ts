const maxCandidates = 100;
const pattern = /([a-z][a-z-]*)((?:\s+[a-z][a-z\d-]*=(?:"(?:[^"\\]|\\.)*"|[^\s\]"]+))*)\s*\]\]/y;
const valuePattern = /([a-z][a-z\d-]*)=("(?:[^"\\]|\\.)*"|[^\s\]"]+)/g;

/** The order to play a scenario: `name key=value key="a JSON string"`. */
export class Directive {
  readonly name: string;
  readonly #values: ReadonlyMap<string, string>;

  constructor(name: string, values: ReadonlyMap<string, string> = new Map()) {
    this.name = name;
    this.#values = values;
  }

  /** The value as it was written, or null. */
  text(key: string): string | null {
    return this.#values.get(key) ?? null;
  }

  /** The value as a number; `fallback` when it is missing or no number. */
  number(key: string, fallback: number): number {
    const value = Number(this.#values.get(key) ?? Number.NaN);
    return Number.isFinite(value) ? value : fallback;
  }

  /** True when the value is there and is not `0` or `false`. */
  flag(key: string): boolean {
    const value = this.#values.get(key);
    return value !== undefined && value !== '0' && value !== 'false';
  }

  /** This directive, with the values of another one where it has none of its own. */
  over(other: Directive): Directive {
    return new Directive(this.name, new Map([...other.#values, ...this.#values]));
  }
}

/**
 * The last `[[name …]]` in the prompt whose name is known, or null. A prompt carries the whole
 * conversation, so the last one belongs to the newest message.
 */
export function findDirective(
  prompt: string,
  isKnown: (name: string) => boolean,
): Directive | null {
  let start = prompt.lastIndexOf('[[');
  for (let tried = 0; start !== -1 && tried < maxCandidates; tried += 1) {
    const directive = parseAt(prompt, start + 2);
    if (directive !== null && isKnown(directive.name)) return directive;
    start = start === 0 ? -1 : prompt.lastIndexOf('[[', start - 1);
  }
  return null;
}

/**
 * Reads a directive that is written without its brackets, as faults are.
 * @throws Error when the text does not follow the grammar.
 */
export function parseDirective(text: string): Directive {
  const directive = parseAt(`${text.trim()}]]`, 0);
  if (directive === null) throw new Error(`not a scenario: ${text}`);
  return directive;
}

function parseAt(text: string, index: number): Directive | null {
  pattern.lastIndex = index;
  const match = pattern.exec(text);
  if (match === null) return null;
  const values = new Map<string, string>();
  for (const [, key = '', value = ''] of (match[2] ?? '').matchAll(valuePattern)) {
    values.set(key, value.startsWith('"') ? unquote(value) : value);
  }
  return new Directive(match[1] ?? '', values);
}

function unquote(value: string): string {
  try {
    return String(JSON.parse(value));
  } catch {
    return value.slice(1, -1);
  }
}
