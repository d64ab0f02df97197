import { headers } from 'next/headers';

export type Language = 'en' | 'zh';

/** The language of the page, from the browser's Accept-Language: Chinese if that comes first. */
export async function pageLanguage(): Promise<Language> {
  return /^\s*zh\b/i.test((await headers()).get('accept-language') ?? '') ? 'zh' : 'en';
}
