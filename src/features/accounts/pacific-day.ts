const HOUR_MS = 3_600_000;

const pacificClock = new Intl.DateTimeFormat('en-US', {
  timeZone: 'America/Los_Angeles',
  hourCycle: 'h23',
  year: 'numeric',
  month: '2-digit',
  day: '2-digit',
  hour: 'numeric',
  minute: 'numeric',
  second: 'numeric',
});

function partsOf(timeMs: number): Map<string, string> {
  return new Map(pacificClock.formatToParts(timeMs).map(({ type, value }) => [type, value]));
}

function sinceMidnightMs(timeMs: number): number {
  const parts = partsOf(timeMs);
  const part = (type: string) => Number(parts.get(type));
  return ((part('hour') * 60 + part('minute')) * 60 + part('second')) * 1_000 + (timeMs % 1_000);
}

/** When the upstream's daily quotas start anew: the next midnight in Los Angeles (protocol 19.3). */
export function nextPacificMidnight(nowMs: number): number {
  // A day of the clock change has 23 or 25 hours: go near, then correct by the local clock.
  let midnight = nowMs - sinceMidnightMs(nowMs) + 24 * HOUR_MS;
  const offMs = sinceMidnightMs(midnight);
  if (offMs !== 0) midnight += offMs > 12 * HOUR_MS ? 24 * HOUR_MS - offMs : -offMs;
  return midnight;
}

/** The date in Los Angeles, such as `2026-11-25`. */
export function pacificDay(nowMs: number): string {
  const parts = partsOf(nowMs);
  return `${parts.get('year')}-${parts.get('month')}-${parts.get('day')}`;
}
