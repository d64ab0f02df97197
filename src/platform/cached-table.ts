import { type Database, query } from '@/platform/db';
import { type Outage, watched } from '@/platform/outage';
import { processState } from '@/platform/process-state';

/**
 * Small tables that every request reads, kept in memory. A change of any process (a command, the
 * other module copy) raises the table's stamp, which is polled, so that it is seen within a second
 * while the hot path makes no database read.
 */

const POLL_EVERY_MS = 500;

/** Its outage is that of the loads that the poll begins. */
interface Entry extends Outage {
  value: unknown;
  version: number;
  loading: Promise<unknown> | null;
  /** The load after the one under way. */
  next: Promise<unknown> | null;
  load: () => Promise<unknown>;
}

/** Its outage is that of reading the stamps. */
interface Cache extends Outage {
  entries: Map<string, Entry>;
  timer: NodeJS.Timeout | null;
  polling: boolean;
}

function cache(): Cache {
  return processState<Cache>('cached-tables', () => ({
    entries: new Map(),
    timer: null,
    polling: false,
    failing: false,
  }));
}

/** What must stand beside every write to a cached table, in the same transaction. */
export function stampChange(db: Database, name: string) {
  return db.changeStamp.upsert({
    where: { name },
    create: { name, version: 1 },
    update: { version: { increment: 1 } },
  });
}

/**
 * The value that `load` made of the table `name`: at once when it is warm, else after loading, which
 * callers that come meanwhile share. `load` must return plain data, since every module copy of the
 * process shares it.
 */
export function cachedTable<T>(name: string, load: () => Promise<T>): T | Promise<T> {
  const entry = cache().entries.get(name);
  if (entry && entry.version >= 0) return entry.value as T;
  return (entry?.loading as Promise<T> | null | undefined) ?? reloadTable(name, load);
}

/**
 * Loads the table `name` anew, and so sees what was written before the call. Callers that come while
 * a load is under way share the one load after it.
 */
export function reloadTable<T>(name: string, load: () => Promise<T>): Promise<T> {
  const { entries } = cache();
  const entry: Entry = entries.get(name) ?? {
    value: null,
    version: -1,
    loading: null,
    next: null,
    load,
    failing: false,
  };
  entries.set(name, entry);
  startPolling();
  if (!entry.loading) return (entry.next ?? begin(name, entry)) as Promise<T>;
  // The load under way may have read the table before the caller wrote to it.
  entry.next ??= entry.loading
    .catch(() => {})
    .then(() => {
      entry.next = null;
      return begin(name, entry);
    });
  return entry.next as Promise<T>;
}

function begin(name: string, entry: Entry): Promise<unknown> {
  entry.loading = fill(name, entry).finally(() => {
    entry.loading = null;
  });
  return entry.loading;
}

async function fill(name: string, entry: Entry): Promise<unknown> {
  // The stamp is read first: a change in between is then loaded twice and never missed.
  const stamp = await query((db) => db.changeStamp.findUnique({ where: { name } }));
  entry.value = await entry.load();
  entry.version = stamp?.version ?? 0;
  return entry.value;
}

function startPolling(): void {
  const state = cache();
  state.timer ??= setInterval(() => {
    if (state.polling) return;
    state.polling = true;
    poll(state).finally(() => {
      state.polling = false;
    });
  }, POLL_EVERY_MS).unref();
}

async function poll(state: Cache): Promise<void> {
  await watched(state, 'reading of change stamps', async () => {
    const stamps = await query((db) => db.changeStamp.findMany());
    await Promise.all(stamps.map(({ name, version }) => follow(name, version)));
  });
}

/** Loads the table anew if its stamp is not the one that it was loaded with. Never throws. */
async function follow(name: string, version: number): Promise<void> {
  const entry = cache().entries.get(name);
  if (!entry || entry.loading) return;
  await watched(entry, `loading of the table ${name}`, async () => {
    if (entry.version !== version) await reloadTable(name, entry.load);
  });
}

/** Ends the polling. */
export function stopCachedTables(): void {
  const state = cache();
  if (state.timer) clearInterval(state.timer);
  state.timer = null;
}
