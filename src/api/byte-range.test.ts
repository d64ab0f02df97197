import { expect, it } from 'vitest';
import { allowsRange, byteRange, contentRange, matchesEtag } from '@/api/byte-range';

it.each([
  ['bytes=0-0', { start: 0, end: 0 }],
  ['bytes=0-', { start: 0, end: 99 }],
  ['bytes=10-19', { start: 10, end: 19 }],
  ['bytes=99-', { start: 99, end: 99 }],
  ['bytes=90-1000', { start: 90, end: 99 }],
  ['bytes=-1', { start: 99, end: 99 }],
  ['bytes=-100', { start: 0, end: 99 }],
  ['bytes=-1000', { start: 0, end: 99 }],
  ['Bytes = 5 - 6', { start: 5, end: 6 }],
])('%s of 100 bytes', (header, range) => {
  expect(byteRange(header, 100)).toEqual(range);
});

it.each(['bytes=100-', 'bytes=100-200', 'bytes=-0', `bytes=${'9'.repeat(400)}-`])(
  '%s of 100 bytes can not be satisfied',
  (header) => {
    expect(byteRange(header, 100)).toBe('unsatisfiable');
  },
);

it.each([
  null,
  '',
  'bytes',
  'bytes=',
  'bytes=-',
  'bytes=5-4',
  'bytes=a-b',
  'bytes=1-2,5-6',
  'bytes=--5',
  'bytes=1.5-2',
  'lines=1-2',
])('%s asks for all of it', (header) => {
  expect(byteRange(header, 100)).toBeNull();
});

it('of nothing no range can be given', () => {
  expect(byteRange('bytes=0-', 0)).toBe('unsatisfiable');
  expect(byteRange('bytes=-5', 0)).toBe('unsatisfiable');
});

it('tells a range, and the size beside one that is not there', () => {
  expect(contentRange({ start: 5, end: 9 }, 100)).toBe('bytes 5-9/100');
  expect(contentRange(null, 100)).toBe('bytes */100');
});

it.each([
  ['"a"', true],
  ['W/"a"', true],
  ['"b", "a"', true],
  ['*', true],
  ['"b"', false],
  ['a', false],
  [null, false],
])('If-None-Match: %s names "a": %s', (header, answer) => {
  expect(matchesEtag(header, '"a"')).toBe(answer);
});

it.each([
  [null, true],
  ['"a"', true],
  ['W/"a"', false],
  ['"b"', false],
  ['Wed, 21 Oct 2026 07:28:00 GMT', false],
])('If-Range: %s lets the range count: %s', (header, answer) => {
  expect(allowsRange(header, '"a"')).toBe(answer);
});
