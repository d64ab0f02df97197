import { type Database, query } from '@/platform/db';
import { log } from '@/platform/log';
import { processState } from '@/platform/process-state';

/**
 * Small tables that every request reads, kept in memory. A change of any process (a command, the
 * other module copy) raises the table's stamp, which is polled, so that it is seen within a second
 * while the hot path makes no database read.
 */

const POLL_EVERY_MS = 500;

interface Entry {
  value: unknown;
  version: number;
  loading: Promise<unknown> | null;
  load: () => Promise<unknown>;
}

interface Cache {
  entries: Map<string, Entry>;
  timer: NodeJS.Timeout | null;
  polling: boolean;
}

function cache(): Cache {
  return processState<Cache>('cached-tables', () => ({
    entries: new Map(),
    timer: null,
    polling: false,
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
 * The value that `load` made of the table `name`: at once when it is warm, else after loading.
 * `load` must return plain data, since every module copy of the process shares it.
 */
export function cachedTable<T>(name: string, load: () => Promise<T>): T | Promise<T> {
  const { entries } = cache();
  const entry = entries.get(name);
  if (entry && entry.version >= 0) return entry.value as T;
  return reloadTable(name, load);
}

/** Loads the table `name` anew, now. Callers that come meanwhile share the one load. */
export function reloadTable<T>(name: string, load: () => Promise<T>): Promise<T> {
  const { entries } = cache();
  const entry: Entry = entries.get(name) ?? { value: null, version: -1, loading: null, load };
  entries.set(name, entry);
  startPolling();
  entry.loading ??= fill(name, entry).finally(() => {
    entry.loading = null;
  });
  return entry.loading as Promise<T>;
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
    poll(state)
      .catch((error) => log().warn({ err: error }, 'change stamps could not be read'))
      .finally(() => {
        state.polling = false;
      });
  }, POLL_EVERY_MS).unref();
}

async function poll(state: Cache): Promise<void> {
  const stamps = await query((db) => db.changeStamp.findMany());
  for (const { name, version } of stamps) {
    const entry = state.entries.get(name);
    if (entry && entry.version !== version && !entry.loading) await reloadTable(name, entry.load);
  }
}

/** Ends the polling. */
export function stopCachedTables(): void {
  const state = cache();
  if (state.timer) clearInterval(state.timer);
  state.timer = null;
}
