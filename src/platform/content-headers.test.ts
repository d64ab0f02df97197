import { describe, expect, it } from 'vitest';
import { fileNameOf, mimeTypeOf } from '@/platform/content-headers';

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

describe('fileNameOf', () => {
  it.each([
    ['attachment; filename="a \\"b\\".png"', 'a "b".png'],
    ['inline; filename=plain.png; size=1', 'plain.png'],
    ['attachment; filename="x.png"; filename*=UTF-8\'\'%E5%9B%BE.png', '图.png'],
    ["attachment; filename*=utf-8'en'%zz.png", '%zz.png'],
    [`inline; filename="${Buffer.from('图.png').toString('latin1')}"`, '图.png'],
    ['inline; filename="\u00e9.png"', 'é.png'],
    ['attachment', 'from url.png'],
    ['attachment; filename=""', 'from url.png'],
    ['attachment; filename="no end', 'from url.png'],
  ])('of %s is %s', (disposition, name) => {
    const headers = { 'content-disposition': disposition };
    expect(fileNameOf(headers, new URL('http://a/b/from%20url.png?c=d.png'))).toBe(name);
  });

  it('is none where nothing tells', () => {
    expect(fileNameOf({}, new URL('http://a/b/'))).toBeNull();
  });
});
