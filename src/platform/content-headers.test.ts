import { describe, expect, it } from 'vitest';
import { headerOf, mimeTypeOf } from '@/platform/content-headers';

describe('mimeTypeOf', () => {
  it.each([
    ['image/png', 'image/png'],
    ['Image/SVG+XML; charset=utf-8', 'image/svg+xml'],
    ['image', null],
    ['', null],
  ])('%j is %j', (header, type) => {
    expect(mimeTypeOf({ 'content-type': header })).toBe(type);
  });

  it('is none without a header', () => {
    expect(mimeTypeOf({})).toBeNull();
  });
});

it('a header is UTF-8 where it is valid, else Latin', () => {
  const header = (value: string) => headerOf({ name: value }, 'name');
  expect(header(Buffer.from('图').toString('latin1'))).toBe('图');
  expect(header('\u00e9')).toBe('é');
  expect(headerOf({ name: ['a', 'b'] }, 'name')).toBe('a');
  expect(headerOf({}, 'name')).toBe('');
});
