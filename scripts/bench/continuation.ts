import v8 from 'node:v8';
import vm from 'node:vm';
import { hashWithReply, type Scope, threadOf } from '@/features/chat/continuation';
import {
  accountOfConversation,
  keepConversation,
  takeConversation,
  tidyConversations,
} from '@/features/chat/conversations';
import type { UpstreamSession } from '@/features/chat/upstream-sessions';
import { Settings } from '@/features/settings/schema';
import type { ChatMessage } from '@/openai/chat';
import { processState } from '@/platform/process-state';
import { resetProcessState } from '../../e2e/support/hand-made-accounts';

/** What it costs to remember so many conversations, in this process, without network or database. */
export interface ContinuationFigures {
  conversations: number;
  /** Of memory, for each of them. */
  bytesEach: number;
  /** A look-up by hash. */
  knownMicroseconds: number;
  unknownMicroseconds: number;
  /** All that a request of ten turns pays: hashes, look-up, taking and remembering. */
  turnMicroseconds: number;
  /** The look over all of them that is done once a minute. */
  tidyMs: number;
}

const SIZES = [1_000, 10_000, 100_000];
const TURNS = 10_000;
const ROUNDS = 5;
const MESSAGES = 10;
const WORDS = 'Some words of a conversation, as many as people use in one turn. '.repeat(4);
const ACCOUNTS = ['a', 'b', 'c'];
const scope: Scope = {
  keyId: 'key',
  modelId: 'model',
  upstreamModelId: null,
  tools: ['web_search'],
};

/** Measures with 1,000, 10,000 and 100,000 conversations. */
export async function measureContinuation(): Promise<ContinuationFigures[]> {
  v8.setFlagsFromString('--expose-gc');
  const figures: ContinuationFigures[] = [];
  for (const size of SIZES) figures.push(await measure(size));
  return figures;
}

async function measure(size: number): Promise<ContinuationFigures> {
  resetProcessState();
  const limits = { ...Settings.parse({}), continuationLimit: size };
  keepConversation('', sessionOf(size), null, limits);
  const before = usedBytes();
  for (let number = 0; number < size; number++) {
    keepConversation(hashWithReply('', `reply ${number}`), sessionOf(number), null, limits);
  }
  const bytesEach = (usedBytes() - before) / size;
  const lookUp = (words: string) =>
    microseconds((count) => {
      const hash = hashes[count % hashes.length] ?? '';
      return accountOfConversation([{ hash: words + hash, length: 1 }], null, limits);
    });
  const hashes = Array.from({ length: 1_000 }, (_, number) => hashWithReply('', `reply ${number}`));
  const [knownMicroseconds, unknownMicroseconds] = [lookUp(''), lookUp('x')];
  const turnMicroseconds = microseconds((count) => turn(count, limits));
  const startedAt = performance.now();
  await tidyConversations(limits, Date.now());
  const tidyMs = performance.now() - startedAt;
  return {
    conversations: size,
    bytesEach,
    knownMicroseconds,
    unknownMicroseconds,
    turnMicroseconds,
    tidyMs,
  };
}

function sessionOf(number: number): UpstreamSession {
  const id = String(1_234_567_890_123 + number).padStart(19, '0');
  return {
    name: `collections/default_collection/engines/agentspace-engine/sessions/${id}`,
    accountId: ACCOUNTS[number % ACCOUNTS.length] ?? '',
    createdAtMs: Date.now(),
    turns: 1,
    fileIds: null,
  };
}

/** A request that continues what the one before has left, and leaves something to continue itself. */
function turn(count: number, limits: Settings): void {
  const messages = Array.from({ length: MESSAGES }, (_, index) => message(index, count));
  const { prefixes, hash } = threadOf(scope, messages);
  accountOfConversation(prefixes, null, limits);
  const taken = takeConversation(prefixes, null, 'a', limits)?.session;
  const session = taken ?? sessionOf(count);
  keepConversation(hashWithReply(hash ?? '', WORDS), session, null, limits);
}

function message(index: number, count: number): ChatMessage {
  const role = index % 2 === 0 ? 'system' : 'assistant';
  return {
    role,
    name: null,
    text: `${WORDS}${count}`,
    attachments: [],
    toolCalls: [],
    toolCallId: null,
  };
}

/** The median of some rounds. */
function microseconds(run: (count: number) => unknown): number {
  const rounds = Array.from({ length: ROUNDS }, (_, round) => {
    const startedAt = performance.now();
    for (let count = 0; count < TURNS; count++) run(round * TURNS + count);
    return ((performance.now() - startedAt) * 1_000) / TURNS;
  });
  return rounds.toSorted((left, right) => left - right)[Math.floor(ROUNDS / 2)] ?? 0;
}

/** What is in use after all that can go is gone: rows that wait to be written are not counted. */
function usedBytes(): number {
  const unknown = (): { unsaved: Map<string, unknown> } => ({ unsaved: new Map() });
  processState('upstream-sessions', unknown).unsaved.clear();
  vm.runInNewContext('gc')();
  return process.memoryUsage().heapUsed;
}
