/** What `isWebUrl` asks for, for messages. */
export const WEB_URL_RULE =
  'must begin with http:// or https://, and have no user name, no ? and no # in it';

/** Whether a text is an address that others may be appended to, and that can stand in a link. */
export function isWebUrl(text: string): boolean {
  // Nor has it what would end a link in markdown.
  return /^https?:\/\/[^\s?#@()<>"'`\\]+$/i.test(text) && URL.canParse(text);
}
