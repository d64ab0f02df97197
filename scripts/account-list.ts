import { type AccountSummary, listAccounts, totalLeft } from '@/features/accounts/accounts';
import { type QuotaKind, quotaKinds } from '@/gemini/tools';
import { printTable } from './command-line.ts';

const units: Record<QuotaKind, [one: string, many: string]> = {
  text: ['question', 'questions'],
  images: ['image', 'images'],
  videos: ['video', 'videos'],
};

/** Prints all accounts with their state, what they did today, and what is left. */
export async function printAccounts(nowMs: number): Promise<void> {
  const accounts = await listAccounts(nowMs);
  const hasOptions = accounts.some((account) => optionsOf(account) !== '-');
  const lackModels = accounts.some(({ lacks }) => lacks.length > 0);
  printTable(
    [
      'label',
      'csesidx',
      'state',
      'rests for',
      'today',
      ...(hasOptions ? ['options'] : []),
      ...(lackModels ? ['lacks'] : []),
      'last failure',
    ],
    accounts.map((account) => [
      account.label,
      account.csesidx,
      account.state,
      restOf(account, nowMs),
      quotaKinds.flatMap((kind) => usesOf(account, kind)).join(', ') || '-',
      ...(hasOptions ? [optionsOf(account)] : []),
      ...(lackModels ? [account.lacks.join(', ') || '-'] : []),
      failureOf(account),
    ]),
    'There is no account yet. Take some in: npm run account -- import business_gemini_session.json',
  );
  const left = totalLeft(accounts);
  for (const kind of quotaKinds) {
    const count = left[kind];
    if (count !== null) console.log(`About ${counted(count, kind)} left today.`);
  }
}

function restOf({ restUntilMs, isHalfOpen, state }: AccountSummary, nowMs: number): string {
  const rests = quotaKinds.flatMap((kind) => {
    const untilMs = restUntilMs[kind];
    // While text rests, everything does.
    if (untilMs === undefined || (kind !== 'text' && untilMs === restUntilMs.text)) return [];
    const time = duration(untilMs - nowMs);
    return [kind === 'text' ? time : `${time} (${kind})`];
  });
  if (isHalfOpen && restUntilMs.text === undefined && state !== 'dead') rests.unshift('half open');
  return rests.join(', ') || '-';
}

/** Such as `45 s`, `5 min`, `13 h 10 min`; rounded up. */
function duration(ms: number): string {
  const seconds = Math.ceil(ms / 1_000);
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function usesOf({ today }: AccountSummary, kind: QuotaKind): string[] {
  const { used, left } = today[kind];
  if (left !== null) return [`${used} of ${counted(used + left, kind)}`];
  return used > 0 ? [counted(used, kind)] : [];
}

function counted(count: number, kind: QuotaKind): string {
  const [one, many] = units[kind];
  return `${count} ${count === 1 ? one : many}`;
}

function optionsOf({ weight, maxConcurrent, exit }: AccountSummary): string {
  const options = [
    ...(weight === 1 ? [] : [`weight ${weight}`]),
    ...(maxConcurrent === null ? [] : [`${maxConcurrent} at once`]),
    ...(exit === null ? [] : [exit === 'direct' ? exit : `via ${exit}`]),
  ];
  return options.join(', ') || '-';
}

function failureOf({ fault, reason, faultAtMs }: AccountSummary): string {
  if (!fault) return '-';
  const at = faultAtMs === null ? '' : ` (${new Date(faultAtMs).toISOString().slice(0, 19)}Z)`;
  return `${fault}: ${reason ?? ''}${at}`;
}
