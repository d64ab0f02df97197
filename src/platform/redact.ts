const patterns: [RegExp, string][] = [
  // Session cookies of the upstream, by name and by the shape of their values.
  [/(__(?:Secure-C_SES|Host-C_OSES)=)[^;\s"\\]+/g, '$1[redacted]'],
  [/\b(CSE|COS)\.[\w.~+/=-]{4,}/g, '$1.[redacted]'],
  // Access tokens, mailbox tokens. Bounded, and never begun within a word: else hostile text made of
  // their beginnings would cost the square of its length.
  [/(?<![\w-])eyJ[\w-]{8,4096}\.[\w-]{1,8192}\.[\w-]{0,1024}/g, '[redacted token]'],
  [/(\bBearer\s+)[^\s"\\]+/gi, '$1[redacted]'],
  // API keys.
  [/\bsk-[A-Za-z0-9]{16,}/g, 'sk-[redacted]'],
  // Credentials in a URL.
  [/(\/\/)[^\s/@:"\\]*:[^\s/@"\\]*@/g, '$1[redacted]@'],
];

/** What every one of them needs: most lines have none of it, and are done with one look. */
const suspicious = /C_SES|C_OSES|CSE\.|COS\.|eyJ|bearer|sk-|\/\//i;

/** `text` without the values of cookies, tokens, API keys and passwords that are known by shape. */
export function redact(text: string): string {
  if (!suspicious.test(text)) return text;
  let result = text;
  for (const [pattern, replacement] of patterns) result = result.replace(pattern, replacement);
  return result;
}
