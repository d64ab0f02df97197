import { parseArgs } from 'node:util';
import { demoAccounts } from './accounts';
import { startStandIn } from './stand-in';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: process.env.STAND_IN_PORT ?? '0' },
    accounts: { type: 'string', default: process.env.STAND_IN_ACCOUNTS ?? '3' },
    'latency-ms': { type: 'string', default: process.env.STAND_IN_LATENCY_MS ?? '0' },
    'piece-delay-ms': { type: 'string', default: process.env.STAND_IN_PIECE_DELAY_MS ?? '0' },
    'no-texts': { type: 'boolean', default: process.env.STAND_IN_NO_TEXTS === '1' },
  },
});

const standIn = await startStandIn({
  port: Number(values.port),
  accounts: demoAccounts(Number(values.accounts)),
  latencyMs: Number(values['latency-ms']),
  pieceDelayMs: Number(values['piece-delay-ms']),
  recordTexts: !values['no-texts'],
});

const stop = () => standIn.close().then(() => process.exit(0));
process.once('SIGINT', stop);
process.once('SIGTERM', stop);
// A parent that started us with an IPC channel takes us along when it dies.
process.once('disconnect', stop);

console.log(`stand-in listening on ${standIn.url}`);
