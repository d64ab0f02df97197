import { describe, expect, test } from 'vitest';
import {
  type GeminiTool,
  geminiTools,
  quotaKindOf,
  quotaKindOfFile,
  quotaKinds,
  toolsSpecOf,
} from './tools';

const registry = { toolRegistry: 'default_tool_registry' };
const search = { webGroundingSpec: {} };
const image = { imageGenerationSpec: {} };
const video = { videoGenerationSpec: {} };

describe('tools', () => {
  test.each<[GeminiTool[], string, object]>([
    [[], 'text', registry],
    [['web_search'], 'text', { ...registry, ...search }],
    [['image'], 'images', image],
    [['video'], 'videos', video],
    [['video', 'image'], 'images', { ...image, ...video }],
    [['image', 'web_search'], 'text', { ...registry, ...search, ...image }],
    [['web_search', 'video'], 'text', { ...registry, ...search, ...video }],
    [[...geminiTools], 'text', { ...registry, ...search, ...image, ...video }],
  ])('%j are of kind %s', (tools, kind, spec) => {
    expect(quotaKindOf(tools)).toBe(kind);
    expect(quotaKinds).toContain(kind);
    expect(toolsSpecOf(tools)).toEqual(spec);
  });

  test('a question with search alone is sent to the letter as before there was a choice', () => {
    expect(JSON.stringify(toolsSpecOf(['web_search']))).toBe(
      '{"toolRegistry":"default_tool_registry","webGroundingSpec":{}}',
    );
  });
});

test.each([
  ['image/png', 'images'],
  ['IMAGE/JPEG', 'images'],
  ['video/mp4', 'videos'],
  ['application/octet-stream', null],
  ['text/image/', null],
  ['imagery/png', null],
  ['', null],
])('a file of type %j is of kind %s', (mimeType, kind) => {
  expect(quotaKindOfFile(mimeType)).toBe(kind);
});
