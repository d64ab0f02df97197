import { beforeEach, describe, expect, it } from 'vitest';
import {
  type Guards,
  moveProbes,
  noteFailure,
  noteSuccess,
  probeAtMs,
  suspectOf,
  takeProbe,
  type Way,
} from '@/features/accounts/guard';
import { EMPTY_ANSWER } from '@/features/accounts/rest-rules';
import { type Fault, GeminiError, type GeminiErrorOptions } from '@/gemini/errors';

const NOW = Date.parse('2026-11-25T12:00:00Z');
const way: Way = { exit: 'direct', modelId: 'gemini', kind: 'text' };

let guards: Guards;
beforeEach(() => {
  guards = new Map();
});

function error(fault: Fault, options: GeminiErrorOptions = {}): GeminiError {
  return new GeminiError(fault, 'it failed', options);
}

/** What the guard says when accounts fail, one after the other. */
function fail(accountIds: string[], what: GeminiError, by = way, nowMs = NOW) {
  return accountIds.map((id) => {
    const suspect = suspectOf(what, by);
    const failed = { accountId: id, requestId: `of ${id}`, wasWell: true };
    return suspect && noteFailure(guards, suspect, failed, what, nowMs);
  });
}

describe('suspectOf', () => {
  it.each([
    ['egress', { reason: 'PROXY_AUTH' }, 'exit direct'],
    ['quota', { status: 429 }, 'exit direct'],
    ['credential', { status: 403 }, 'exit direct'],
    ['credential', { reason: 'NO_KEY' }, 'exit direct'],
    ['overload', { status: 429, reason: 'LLM_OVERLOADED' }, 'model gemini'],
    ['overload', { status: 429 }, 'exit direct'],
    ['upstream', { status: 403 }, 'exit direct'],
    ['upstream', { status: 503 }, 'upstream'],
    ['upstream', { reason: 'timeout' }, 'upstream'],
    ['truncated', {}, 'upstream'],
    ['state', { status: 404 }, 'model gemini'],
  ] as const)('suspects what the accounts share: %s %j, %s', (fault, options, scope) => {
    expect(suspectOf(error(fault, options), way)?.scope).toBe(scope);
  });

  it.each([
    ['quota', { reason: 'QUOTA_EXCEEDED' }],
    ['quota', { retryAfterMs: 5_000 }],
    ['credential', { status: 401, reason: 'SESSION_COOKIE_INVALID' }],
    ['credential', { reason: 'EXPIRED_SIGN_IN' }],
    ['config', { status: 401 }],
    ['blocked', { status: 403 }],
    ['request', { status: 400 }],
    ['upstream', { reason: EMPTY_ANSWER }],
    ['client_left', {}],
    ['ours', {}],
  ] as const)(
    "suspects nobody else where it is the account's, or nobody's: %s %j",
    (fault, options) => {
      expect(suspectOf(error(fault, options), way)).toBeNull();
    },
  );

  it('tells failures apart that have nothing in common', () => {
    const signatures = [503, 500].map(
      (status) => suspectOf(error('upstream', { status }), way)?.signature,
    );
    expect(new Set(signatures).size).toBe(2);
  });
});

describe('the guard', () => {
  const down = error('upstream', { status: 503 });

  it('opens when three accounts in a row fail alike', () => {
    expect(fail(['a', 'b', 'c', 'd', 'a'], down)).toEqual([
      'closed',
      'closed',
      'opened',
      'open',
      'open',
    ]);
  });

  it('stays closed when one account fails three times', () => {
    expect(fail(['a', 'b', 'a', 'b', 'a'], down)).not.toContain('opened');
  });

  it('stays closed when a success comes between', () => {
    fail(['a', 'b'], down);
    expect(noteSuccess(guards, way)).toEqual([]);
    expect(fail(['c', 'd'], down)).toEqual(['closed', 'closed']);
  });

  it('stays closed when the failures are not alike', () => {
    fail(['a', 'b'], down);
    fail(['c'], error('upstream', { status: 500 }));
    expect(fail(['d', 'e'], down)).toEqual(['closed', 'closed']);
  });

  it('stays closed when the failures lie a minute apart', () => {
    fail(['a', 'b'], down);
    expect(fail(['c'], down, way, NOW + 60_000)).toEqual(['closed']);
    expect(fail(['d', 'e'], down, way, NOW + 60_001)).toEqual(['closed', 'opened']);
  });

  it('stays closed for what the accounts are to blame for themselves', () => {
    const refused = error('credential', { status: 401, reason: 'SESSION_COOKIE_INVALID' });
    const spent = error('quota', { reason: 'QUOTA_EXCEEDED' });
    for (const what of [refused, spent, error('blocked'), error('config')]) {
      expect(fail(['a', 'b', 'c', 'd'], what)).toEqual([null, null, null, null]);
    }
    expect(guards.size).toBe(0);
  });

  it('is one per exit', () => {
    const limited = error('quota', { status: 429 });
    const other = { ...way, exit: 'http://127.0.0.1:9' };
    fail(['a', 'b'], limited);
    expect(fail(['c', 'd'], limited, other)).toEqual(['closed', 'closed']);
    expect(fail(['c'], limited)).toEqual(['opened']);
    expect(probeAtMs(guards, 'exit direct')).toBeGreaterThan(0);
    expect(probeAtMs(guards, 'exit http://127.0.0.1:9')).toBe(0);
  });

  it('is one per model', () => {
    const overloaded = error('overload', { reason: 'LLM_OVERLOADED' });
    fail(['a', 'b', 'c'], overloaded);
    expect(probeAtMs(guards, 'model gemini')).toBeGreaterThan(0);
    expect(fail(['d'], overloaded, { ...way, modelId: 'other' })).toEqual(['closed']);
  });

  it('is one for the upstream, whatever the exit and the model', () => {
    fail(['a'], down, { ...way, exit: 'one', modelId: 'one' });
    fail(['b'], down, { ...way, exit: 'two', modelId: 'two' });
    expect(fail(['c'], down, { ...way, exit: 'three', modelId: 'three' })).toEqual(['opened']);
    expect(probeAtMs(guards, 'upstream')).toBeGreaterThan(0);
  });

  it('lets a probe through after 1 s, then ever more rarely, up to every 10 s', () => {
    fail(['a', 'b', 'c'], down);
    let nowMs = NOW;
    const waits = Array.from({ length: 7 }, () => {
      const waitMs = probeAtMs(guards, 'upstream') - nowMs;
      nowMs += waitMs;
      takeProbe(guards, 'upstream', nowMs);
      fail(['a'], down, way, nowMs);
      return waitMs;
    });
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000]);
  });

  it('closes on a success, and counts anew from there', () => {
    fail(['a', 'b', 'c'], down);
    expect(noteSuccess(guards, way)).toEqual(['upstream']);
    expect(probeAtMs(guards, 'upstream')).toBe(0);
    expect(fail(['a', 'b'], down)).toEqual(['closed', 'closed']);
  });

  it('is not closed by a success that came another way', () => {
    fail(['a', 'b', 'c'], error('quota'));
    fail(['a', 'b', 'c'], error('overload', { reason: 'LLM_OVERLOADED' }));
    expect(noteSuccess(guards, { exit: 'other', modelId: 'other' })).toEqual([]);
    expect(noteSuccess(guards, { exit: 'direct', modelId: 'other' })).toEqual(['exit direct']);
    expect(noteSuccess(guards, { exit: 'other', modelId: 'gemini' })).toEqual(['model gemini']);
  });

  it('keeps the failure that opened it', () => {
    fail(['a', 'b', 'c'], down);
    fail(['d'], error('truncated'));
    expect(guards.get('upstream')?.open?.failure).toBe(down);
  });

  it('moves its probes with the clock', () => {
    fail(['a', 'b', 'c'], down);
    fail(['a'], error('overload', { reason: 'LLM_OVERLOADED' }));
    moveProbes(guards, -3_600_000);
    expect(probeAtMs(guards, 'upstream')).toBe(NOW + 1_000 - 3_600_000);
    expect(probeAtMs(guards, 'model gemini')).toBe(0);
  });

  it('has no probe to take where it is closed', () => {
    fail(['a'], down);
    takeProbe(guards, 'upstream', NOW);
    takeProbe(guards, 'model gemini', NOW);
    expect(probeAtMs(guards, 'upstream')).toBe(0);
  });
});
