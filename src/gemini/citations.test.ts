import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { citationsOf } from './citations';

const page = (uri: unknown, more: object = {}) => ({ documentMetadata: { uri, ...more } });
const web = { url: 'https://example.com/', title: 'Example' };
const references = [page('https://example.com', { title: 'Example' })];

const segmentsOf = (...segments: unknown[]) => citationsOf({ segments, references }, '')?.segments;
const sourcesOf = (...pages: unknown[]) => citationsOf({ references: pages }, '')?.sources ?? [];

describe('citations', () => {
  test('a segment with its places and sources', () => {
    const segment = { startIndex: '3', endIndex: '9', text: 'words', referenceIndices: [1, 0, 1] };
    const other = page('http://example.org/a b', { title: ' Other\n page ' });
    const metadata = { segments: [segment], references: [...references, other] };
    const second = { url: 'http://example.org/a%20b', title: 'Other page' };
    expect(citationsOf(metadata, 'the words')).toEqual({
      type: 'citations',
      replyText: 'the words',
      segments: [{ startByte: 3, endByte: 9, text: 'words', sources: [second, web] }],
      sources: [web, second],
    });
  });

  test('numbers in either form; a zero may be missing', () => {
    const expected = [{ startByte: 0, endByte: 5, text: null, sources: [web] }];
    expect(segmentsOf({ endIndex: '5', referenceIndices: ['0'] })).toEqual(expected);
    expect(segmentsOf({ startIndex: 0, endIndex: 5, referenceIndices: [0] })).toEqual(expected);
  });

  test.each([
    ['no end', { startIndex: '1', referenceIndices: [0] }],
    ['nothing between the places', { startIndex: '5', endIndex: '5', referenceIndices: [0] }],
    ['places below zero', { startIndex: -2, endIndex: '5', referenceIndices: [0] }],
    ['places that are no numbers', { startIndex: 'a', endIndex: '5', referenceIndices: [0] }],
    ['fractions', { startIndex: 0.5, endIndex: 5, referenceIndices: [0] }],
    ['no reference', { endIndex: '5' }],
    ['a reference that is not there', { endIndex: '5', referenceIndices: [7] }],
    ['a string', 'segment'],
  ])('a segment with %s is left out', (_name, segment) => {
    expect(segmentsOf(segment)).toEqual([]);
  });

  test.each([
    'javascript:alert(1)',
    'data:text/html,x',
    'ftp://example.com',
    'gs://bucket/object',
    '//example.com',
    'example',
    '',
    7,
    null,
    `https://example.com/${'x'.repeat(2_100)}`,
  ])('%j is no page of the web', (uri) => {
    expect(citationsOf({ references: [page(uri)] }, '')).toBeNull();
  });

  test('a page without a title has that of its domain, or its host', () => {
    const pages = [
      page('https://a.example/', { title: ' ', domain: 'The domain' }),
      page('https://b.example/', { title: 7 }),
      page('https://c.example/', { title: `${'x'.repeat(299)}😀` }),
    ];
    expect(sourcesOf(...pages).map(({ title }) => title)).toEqual([
      'The domain',
      'b.example',
      'x'.repeat(299),
    ]);
  });

  test('segments keep their sources where other references are no pages', () => {
    const metadata = {
      segments: [{ endIndex: '5', referenceIndices: [0, 1] }],
      references: [page('gs://x'), ...references],
    };
    expect(citationsOf(metadata, '')?.segments[0]?.sources).toEqual([web]);
  });

  test('there are bounds', () => {
    const many = {
      segments: Array.from({ length: 1_000 }, () => ({ endIndex: '5', referenceIndices: [0] })),
      references: Array.from({ length: 1_000 }, () => references[0]),
    };
    const found = citationsOf(many, '');
    expect([found?.segments.length, found?.sources.length]).toEqual([200, 100]);
  });

  test('no shape of the metadata throws', () => {
    const keys = fc.constantFrom(
      ...['segments', 'references', 'documentMetadata', 'uri', 'title', 'domain'],
      ...['startIndex', 'endIndex', 'referenceIndices', 'text'],
    );
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { depthSize: 'medium' },
        fc.constantFrom<unknown>(null, 0, '0', '12', 'https://example.com', true),
        fc.array(tie('tree'), { maxLength: 3 }),
        fc.dictionary(keys, tie('tree')),
      ),
    }));
    fc.assert(
      fc.property(tree, (metadata) => {
        citationsOf(metadata, 'text');
      }),
    );
  });
});
