import { query } from '@/platform/db';
import type { IncomingFile } from '@/platform/incoming-file';
import { processState } from '@/platform/process-state';

/** What the files take, so that an upload needs no sum over all rows. */
export interface Room {
  /** Of all that have a row. */
  storedBytes: number;
  /** Of those that come in, or wait for their details. */
  incomingBytes: number;
  /** Paths of those that are in whole and were neither kept nor discarded. */
  waiting: Set<string>;
}

/** The room of this process, the only one that writes files; counted once. */
export function fileRoom(): Promise<Room> {
  const state = processState<{ room: Promise<Room> | null }>('file-room', () => ({ room: null }));
  state.room ??= count().catch((error) => {
    state.room = null;
    throw error;
  });
  return state.room;
}

async function count(): Promise<Room> {
  const [sum] = await query(
    (db) => db.$queryRaw<{ bytes: number | bigint | null }[]>`SELECT sum("bytes") AS "bytes"
      FROM "File"`,
  );
  return { storedBytes: Number(sum?.bytes ?? 0), incomingBytes: 0, waiting: new Set() };
}

/** Gives back what an upload took while it was coming in, once. */
export function endWaiting(room: Room, { path, bytes }: IncomingFile): void {
  if (room.waiting.delete(path)) room.incomingBytes -= bytes;
}
