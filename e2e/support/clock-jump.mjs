/**
 * To be loaded before a program (`--import`): its wall clock runs ahead of the real one by the
 * milliseconds that the file named in JUMPING_CLOCK_FILE holds, negative ones behind it. The file is
 * read every 20 ms; what was taken over is written beside it. Timers and performance.now go on as
 * they are, as when somebody sets the clock of a machine.
 */
import fs from 'node:fs';

const POLL_EVERY_MS = 20;

const file = process.env.JUMPING_CLOCK_FILE;
const RealDate = globalThis.Date;
const realNow = RealDate.now.bind(RealDate);
let offsetMs = 0;
let taken = '';

function poll() {
  const text = fs.readFileSync(file, 'utf8');
  // Empty: it is being written at this moment.
  if (text === taken || text === '') return;
  offsetMs = Number(text);
  taken = text;
  fs.writeFileSync(`${file}.taken`, text);
}

function jumpingNow() {
  return realNow() + offsetMs;
}

const JumpingDate = new Proxy(RealDate, {
  construct: (target, given, newTarget) =>
    Reflect.construct(target, given.length === 0 ? [jumpingNow()] : given, newTarget),
  apply: () => new RealDate(jumpingNow()).toString(),
});

if (file) {
  RealDate.now = jumpingNow;
  RealDate.prototype.constructor = JumpingDate;
  globalThis.Date = JumpingDate;
  poll();
  setInterval(poll, POLL_EVERY_MS).unref();
}
