/** What the upstream may use for an answer: permissions, not commands (protocol 10.2). */
export type GeminiTool = 'web_search' | 'image' | 'video';

export const geminiTools: readonly GeminiTool[] = ['web_search', 'image', 'video'];

/** What the upstream counts, each for itself, per day and seat (protocol 19.1). */
export type QuotaKind = 'text' | 'images' | 'videos';

export const quotaKinds: readonly QuotaKind[] = ['text', 'images', 'videos'];

/** The kind that a question with these tools is meant to use; what it used, its files tell. */
export function quotaKindOf(tools: readonly GeminiTool[]): QuotaKind {
  if (!isMediaOnly(tools)) return 'text';
  return tools.includes('image') ? 'images' : 'videos';
}

/** The kind that a generated file of this type has used; null if it is neither image nor video. */
export function quotaKindOfFile(mimeType: string): QuotaKind | null {
  if (/^image\//i.test(mimeType)) return 'images';
  return /^video\//i.test(mimeType) ? 'videos' : null;
}

/** `toolsSpec` of a chat request (protocol 10.2). Media alone go without registry (protocol 28). */
export function toolsSpecOf(tools: readonly GeminiTool[]): Record<string, unknown> {
  const spec: Record<string, unknown> = {};
  if (!isMediaOnly(tools)) spec.toolRegistry = 'default_tool_registry';
  if (tools.includes('web_search')) spec.webGroundingSpec = {};
  if (tools.includes('image')) spec.imageGenerationSpec = {};
  if (tools.includes('video')) spec.videoGenerationSpec = {};
  return spec;
}

function isMediaOnly(tools: readonly GeminiTool[]): boolean {
  return tools.length > 0 && !tools.includes('web_search');
}
