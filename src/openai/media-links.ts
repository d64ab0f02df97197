/**
 * How a generated picture or video stands in the text of an answer (contract 8.1): in a paragraph of
 * its own, a picture as markdown, a video as its address alone. `before` is the text so far.
 */
export function mediaMarkdown(before: string, kind: 'image' | 'video', url: string): string {
  return paragraphAfter(before) + (kind === 'image' ? `![image](${url})` : url);
}

/** The same with the address alone, whatever the kind. */
export function mediaLink(before: string, url: string): string {
  return paragraphAfter(before) + url;
}

function paragraphAfter(before: string): string {
  if (before === '' || before.endsWith('\n\n')) return '';
  return before.endsWith('\n') ? '\n' : '\n\n';
}
