/**
 * `npm run bench`: how this server compares with a bare pass-through, and how it holds 500 streams.
 * The figures go to stdout and, after a run of full length, into docs/benchmarks.md.
 */
import { parseArgs } from 'node:util';
import { measureContinuation } from './bench/continuation';
import { setUp } from './bench/equipment';
import { measureFirstByte } from './bench/first-byte';
import { measureMedia } from './bench/media';
import { measurePool } from './bench/pool';
import {
  continuationReport,
  firstByteReport,
  mediaFailure,
  mediaReport,
  poolReport,
  soakFailure,
  soakReport,
  throughputReport,
  writeSection,
} from './bench/report';
import { soak } from './bench/soak';
import { measureThroughput, type Plan } from './bench/throughput';

const help = `Usage: npm run bench -- [options]

Without options: pool, sessions, throughput, media and soak, about ten minutes; rewrites the figures in docs/benchmarks.md.

  --pool        the choice among 10 to 10,000 accounts alone
  --sessions    what is remembered of conversations, and the stock of sessions, alone
  --media       large files alone: what they do to the memory
  --soak        the soak alone: 500 streams of 30 s at once
  --seconds N   throughput alone, with rounds of N seconds (5 without this)
  --quick       throughput alone, a short round each; docs/benchmarks.md stays as it is
  --help        show this text
`;

const fullPlan: Plan = { rounds: 5, roundMs: 5_000, warmUpMs: 10_000 };
const quickPlan: Plan = { rounds: 1, roundMs: 1_000, warmUpMs: 1_000 };

const values = readOptions();

if (values.help) process.stdout.write(help);
else if (process.platform !== 'linux')
  fail('The bench reads its figures in /proc: run it on Linux.');
else await bench();

async function bench(): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));
  const isWhole = !values.soak && !values.media && !values.quick && values.seconds === undefined;
  if (isWhole && !values.sessions) {
    const report = poolReport(measurePool());
    console.log(`${report}\n`);
    writeSection('pool', report);
    if (values.pool) return;
  }
  if (isWhole) {
    const report = continuationReport(await measureContinuation());
    console.log(`${report}\n`);
    writeSection('continuation', report);
  }
  const isPart = values.quick || values.seconds !== undefined;
  const equipment = await setUp();
  try {
    if (isWhole) {
      const report = firstByteReport(await measureFirstByte(equipment));
      console.log(`${report}\n`);
      writeSection('first-byte', report);
      if (values.sessions) return;
    }
    if (!values.soak && !values.media) {
      const plan = planOf();
      const report = throughputReport(await measureThroughput(equipment, plan), plan);
      console.log(report);
      if (!values.quick) writeSection('bench', report);
    }
    if (isPart && !values.soak && !values.media) return;
    if (!values.soak) {
      const figures = await measureMedia(equipment);
      const report = mediaReport(figures);
      console.log(`\n${report}`);
      writeSection('media', report);
      const failure = mediaFailure(figures);
      if (failure) fail(failure);
      if (values.media) return;
    }
    const result = await soak(equipment);
    const report = soakReport(result);
    console.log(`\n${report}`);
    writeSection('soak', report);
    const failure = soakFailure(result);
    if (failure) fail(failure);
  } finally {
    await equipment.close();
  }
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        pool: { type: 'boolean', default: false },
        sessions: { type: 'boolean', default: false },
        media: { type: 'boolean', default: false },
        soak: { type: 'boolean', default: false },
        seconds: { type: 'string' },
        quick: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.seconds !== undefined && !(Number(values.seconds) > 0)) {
      throw new Error(`--seconds must be a number above 0, not "${values.seconds}"`);
    }
    return values;
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${help}`);
    return process.exit(2);
  }
}

function planOf(): Plan {
  const plan = values.quick ? quickPlan : fullPlan;
  return values.seconds === undefined ? plan : { ...plan, roundMs: Number(values.seconds) * 1_000 };
}

function fail(message: string): void {
  console.error(message);
  process.exitCode = 1;
}
