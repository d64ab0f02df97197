import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { projectRoot } from '../../e2e/support/data-folder';
import type { ContinuationFigures } from './continuation';
import type { FirstByteFigures } from './first-byte';
import { type MediaFigures, mediaLimits } from './media';
import type { PoolFigures } from './pool';
import { type SoakResult, soakLimits } from './soak';
import type { Comparison, Figures, Plan, Throughput } from './throughput';

const document = path.join(projectRoot, 'docs/benchmarks.md');
const GIB = 1_073_741_824;

/** The part of docs/benchmarks.md that a run rewrites. */
export type Section = 'bench' | 'continuation' | 'first-byte' | 'media' | 'pool' | 'soak';

/** What was measured, as Markdown. */
export function throughputReport({ standIn, comparisons }: Throughput, plan: Plan): string {
  const seconds = plan.roundMs / 1_000;
  return [
    `${conditions()} ${plan.rounds === 1 ? 'One round' : `The medians of ${plan.rounds} rounds`} of ${seconds} s.`,
    '',
    ...table(
      ['The stand-in alone', 'requests/s', 'p50 ms', 'p99 ms', 'CPU µs/request'],
      standIn.map(({ clients, figures }) => [
        clientsText(clients),
        whole(figures.requestsPerSecond),
        tenths(figures.p50Ms),
        tenths(figures.p99Ms),
        whole(figures.cpuMicrosecondsPerRequest),
      ]),
    ),
    '',
    ...table(
      [
        'Load',
        'Program',
        'requests/s',
        'ratio',
        'p50 ms',
        'p99 ms',
        'first byte ms',
        'added ms',
        'CPU µs/request',
        'RSS MB',
      ],
      comparisons.flatMap(comparisonRows),
    ),
  ].join('\n');
}

/** How long the choice among accounts takes, as Markdown. */
export function poolReport(figures: PoolFigures[]): string {
  return [
    conditions(),
    '',
    ...table(
      [
        'Accounts',
        'round robin µs',
        'least in flight µs',
        'weighted random µs',
        'fill first µs',
        '9 of 10 resting µs',
        'first turn ms',
        'plain scan µs',
      ],
      figures.map(({ accounts, turnMicroseconds, ...others }) => [
        accounts.toLocaleString('en-US'),
        tenths(turnMicroseconds.round_robin),
        tenths(turnMicroseconds.least_in_flight),
        tenths(turnMicroseconds.weighted_random),
        tenths(turnMicroseconds.fill_first),
        tenths(others.mostRestingMicroseconds),
        tenths(others.firstTurnMs),
        tenths(others.scanMicroseconds),
      ]),
    ),
  ].join('\n');
}

/** What it costs to remember conversations, as Markdown. */
export function continuationReport(figures: ContinuationFigures[]): string {
  return [
    conditions(),
    '',
    ...table(
      [
        'Conversations',
        'bytes each',
        'look-up, known µs',
        'look-up, unknown µs',
        'whole turn µs',
        'look over all ms',
      ],
      figures.map((of) => [
        of.conversations.toLocaleString('en-US'),
        whole(of.bytesEach),
        hundredths(of.knownMicroseconds),
        hundredths(of.unknownMicroseconds),
        tenths(of.turnMicroseconds),
        tenths(of.tidyMs),
      ]),
    ),
  ].join('\n');
}

/** How long a new conversation waits, with and without the stock of sessions, as Markdown. */
export function firstByteReport({ latencyMs, upstream, stocks }: FirstByteFigures): string {
  return [
    conditions(),
    '',
    ...table(
      [`Upstream latency ${latencyMs} ms`, 'first byte p50 ms', 'p99 of the whole answer ms'],
      [
        [
          'two calls, straight to the stand-in',
          tenths(upstream.firstByteP50Ms),
          tenths(upstream.p99Ms),
        ],
        ...stocks.map(({ sessionStockPerAccount, result }) => [
          sessionStockPerAccount === 0 ? 'server, no stock' : 'server, one session in stock',
          tenths(result.firstByteP50Ms),
          tenths(result.p99Ms),
        ]),
      ],
    ),
  ].join('\n');
}

/** What the soak showed, as Markdown. */
export function soakReport(result: SoakResult): string {
  const { loopDelay } = result;
  const growthMb = result.rssHighestMb - result.rssSettledMb;
  return [
    conditions(),
    '',
    ...table(
      ['Figure', 'Measured', 'Limit'],
      [
        ['streams at once, all whole', String(result.streams), ''],
        ['from the first question to the last end', `${tenths(result.elapsedMs / 1_000)} s`, ''],
        ['first byte, all opened at once, p50', `${whole(result.firstByteP50Ms)} ms`, ''],
        ['event-loop delay p50', `${tenths(loopDelay.p50Ms)} ms`, ''],
        [
          'event-loop delay p99',
          `${tenths(loopDelay.p99Ms)} ms`,
          `${soakLimits.loopDelayP99Ms} ms`,
        ],
        ['event-loop delay, highest', `${tenths(loopDelay.maxMs)} ms`, ''],
        ['RSS before the streams', `${whole(result.rssBeforeMb)} MB`, ''],
        ['RSS at second 10', `${whole(result.rssSettledMb)} MB`, ''],
        ['RSS growth from second 10 on', `${tenths(growthMb)} MB`, `${soakLimits.rssGrowthMb} MB`],
      ],
    ),
  ].join('\n');
}

/** What large files do to the server's memory, as Markdown. */
export function mediaReport(figures: MediaFigures[]): string {
  return [
    conditions(),
    '',
    ...table(
      [
        'Way',
        'MB',
        'seconds',
        'MB/s',
        'RSS before MB',
        `RSS growth MB (limit ${mediaLimits.rssGrowthMb})`,
      ],
      figures.map(({ way, bytes, elapsedMs, rssBeforeMb, rssGrowthMb }) => [
        way,
        whole(bytes / 1_000_000),
        tenths(elapsedMs / 1_000),
        whole(bytes / 1_000 / elapsedMs),
        whole(rssBeforeMb),
        tenths(rssGrowthMb),
      ]),
    ),
  ].join('\n');
}

/** Which way of large files took more memory than it may, in words; null if none did. */
export function mediaFailure(figures: MediaFigures[]): string | null {
  const beyond = figures.filter(({ rssGrowthMb }) => rssGrowthMb > mediaLimits.rssGrowthMb);
  if (beyond.length === 0) return null;
  return `Memory grew by more than ${mediaLimits.rssGrowthMb} MB: ${beyond.map(({ way }) => way).join(', ')}.`;
}

/** What of the soak is beyond its limit, in words; null if all is well. */
export function soakFailure({ loopDelay, ...rss }: SoakResult): string | null {
  if (loopDelay.p99Ms >= soakLimits.loopDelayP99Ms) {
    return `The event-loop delay is ${tenths(loopDelay.p99Ms)} ms at p99.`;
  }
  const growthMb = rss.rssHighestMb - rss.rssSettledMb;
  if (growthMb < soakLimits.rssGrowthMb) return null;
  return `The memory grew by ${tenths(growthMb)} MB.`;
}

/**
 * Puts a report between its marks in docs/benchmarks.md.
 * @throws Error if the marks are not there
 */
export function writeSection(section: Section, report: string): void {
  const begin = `<!-- ${section}:begin -->`;
  const end = `<!-- ${section}:end -->`;
  const text = fs.readFileSync(document, 'utf8');
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from === -1 || to < from) throw new Error(`${document} lacks the marks of "${section}"`);
  const before = text.slice(0, from + begin.length);
  fs.writeFileSync(document, `${before}\n${report}\n${text.slice(to)}`);
}

function comparisonRows({ shape, clients, passThrough, server, ratio }: Comparison): string[][] {
  const load = `${shape}, ${clientsText(clients)}`;
  const added = server.firstByteP50Ms - passThrough.firstByteP50Ms;
  return [
    [load, 'pass-through', ...figureCells(passThrough, '', '')],
    ['', 'server', ...figureCells(server, `**${ratio.toFixed(2)}**`, tenths(added))],
  ];
}

function figureCells(figures: Figures, ratio: string, added: string): string[] {
  return [
    whole(figures.requestsPerSecond),
    ratio,
    tenths(figures.p50Ms),
    tenths(figures.p99Ms),
    tenths(figures.firstByteP50Ms),
    added,
    whole(figures.cpuMicrosecondsPerRequest),
    whole(figures.rssMb),
  ];
}

/** Day and machine. */
function conditions(): string {
  const cpus = os.cpus();
  const day = new Date().toISOString().slice(0, 10);
  const memory = `${Math.round(os.totalmem() / GIB)} GiB`;
  const machine = `${cpus.length} cores of ${cpus[0]?.model.trim() ?? 'an unknown kind'}, ${memory}`;
  return `${day}, ${machine}, ${os.type()} ${os.release()}, Node ${process.versions.node}.`;
}

function table(heads: string[], rows: string[][]): string[] {
  const rule = heads.map((head) => (/^[a-z0-9C]|^RSS/.test(head) ? '---:' : '---'));
  return [heads, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`);
}

function clientsText(clients: number): string {
  return clients === 1 ? '1 client' : `${clients} clients`;
}

function whole(value: number): string {
  return String(Math.round(value));
}

function hundredths(value: number): string {
  return value.toFixed(2);
}

function tenths(value: number): string {
  return value.toFixed(1);
}
