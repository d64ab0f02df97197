import { query } from '@/platform/db';
import { processState } from '@/platform/process-state';

/** What the files take, so that an upload needs no sum over all rows. */
export interface Room {
  /** Of all that have a row, as far as this process knows. */
  storedBytes: number;
  /** Of those that come in, wait for their details, or are there for one request. */
  incomingBytes: number;
  /** Those that are in whole and were neither kept nor discarded: their bytes by their path. */
  waiting: Map<string, number>;
}

interface RoomState {
  room: Room;
  /** The first count, once it is begun. */
  counted: Promise<void> | null;
  /** The change or count that runs, if any, and all before it. */
  turn: Promise<unknown>;
}

function state(): RoomState {
  return processState<RoomState>('file-room', () => ({
    room: { storedBytes: 0, incomingBytes: 0, waiting: new Map() },
    counted: null,
    turn: Promise.resolve(),
  }));
}

/** The room, which is counted at its first use. */
export async function fileRoom(): Promise<Room> {
  const known = state();
  known.counted ??= countAgain().catch((error) => {
    known.counted = null;
    throw error;
  });
  await known.counted;
  return known.room;
}

/** Counts anew: a command beside the server may have deleted files. */
export function countAgain(): Promise<void> {
  return inTurn(async (room) => {
    const [sum] = await query(
      (db) => db.$queryRaw<{ bytes: number | bigint | null }[]>`SELECT sum("bytes") AS "bytes"
        FROM "File"`,
    );
    room.storedBytes = Number(sum?.bytes ?? 0);
  });
}

/** Changes rows and what is known of them, while nobody counts. */
export async function changeFiles<T>(change: (room: Room) => Promise<T>): Promise<T> {
  await fileRoom();
  return inTurn(change);
}

function inTurn<T>(run: (room: Room) => Promise<T>): Promise<T> {
  const known = state();
  const mine = known.turn.then(() => run(known.room));
  known.turn = mine.catch(() => {});
  return mine;
}

/** Whether that file is in whole, and somebody is about to use it. */
export function isWaiting(path: string): boolean {
  return state().room.waiting.has(path);
}

/** Gives back what a file took while it was coming in, once. */
export function endWaiting(path: string): void {
  const { room } = state();
  room.incomingBytes -= room.waiting.get(path) ?? 0;
  room.waiting.delete(path);
}
