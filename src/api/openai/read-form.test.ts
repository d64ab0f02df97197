import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { type FormOptions, readForm } from '@/api/openai/read-form';
import { AppError } from '@/platform/errors';

const BOUNDARY = 'a-boundary';

/** A disk in memory. */
function disk() {
  const contents = new Map<string, string>();
  let number = 0;
  const options: FormOptions = {
    files: { file: 1, 'image[]': 2 },
    async receive(content) {
      number += 1;
      const path = String(number);
      let text = '';
      for await (const piece of content) text += Buffer.from(piece).toString('latin1');
      contents.set(path, text);
      return { path, bytes: text.length };
    },
    async discard({ path }) {
      contents.delete(path);
    },
    maxBytes: 1_000_000,
    maxFields: 3,
    maxFieldBytes: 100,
  };
  return { contents, options };
}

function request(body: BodyInit, headers: Record<string, string> = {}): Request {
  return new Request('http://127.0.0.1/', {
    method: 'POST',
    body,
    headers,
    duplex: 'half',
  } as RequestInit & { duplex: 'half' });
}

const typed = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` };

function part(headers: string, value = 'x'): string {
  return `--${BOUNDARY}\r\nContent-Disposition: form-data; ${headers}\r\n\r\n${value}\r\n`;
}

const END = `--${BOUNDARY}--\r\n`;

/** Reads a form that was written by hand. */
function read(body: BodyInit, changes: Partial<FormOptions> = {}) {
  const { contents, options } = disk();
  return { contents, form: readForm(request(body, typed), { ...options, ...changes }) };
}

/** A body whose pieces the test gives. */
function manual() {
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  const stream = new ReadableStream<Uint8Array>({
    start(given) {
      controller = given;
    },
  });
  return {
    stream,
    send: (text: string) => controller?.enqueue(Buffer.from(text)),
    fail: () => controller?.error(new Error('reset')),
  };
}

describe('a form', () => {
  it('has its fields and files, in any order', async () => {
    const sent = new FormData();
    sent.append('file', new File(['bytes'], '报告 [1] "x".txt', { type: 'text/csv' }));
    sent.append('purpose', '目的');
    sent.append('image[]', new File(['one'], 'one'));
    sent.append('expires_after[seconds]', '1');
    sent.append('expires_after[seconds]', '2');
    sent.append('image[]', new File(['two'], 'two'));
    const { contents, options } = disk();
    const form = await readForm(request(sent), options);
    expect(Object.fromEntries(form.fields)).toEqual({
      purpose: '目的',
      'expires_after[seconds]': '2',
    });
    expect(form.files).toMatchObject([
      { field: 'file', filename: '报告 [1] "x".txt', mimeType: 'text/csv', file: { bytes: 5 } },
      { field: 'image[]', filename: 'one', file: { bytes: 3 } },
      { field: 'image[]', filename: 'two', file: { bytes: 3 } },
    ]);
    expect(form.files.map(({ file }) => contents.get(file.path))).toEqual(['bytes', 'one', 'two']);
    await form.discard();
    expect(contents.size).toBe(0);
  });

  it('may be cut anywhere', async () => {
    const bytes = Buffer.from(
      `${part('name="purpose"')}${part('name="file"; filename="a"')}${END}`,
    );
    const body = new ReadableStream({
      start(controller) {
        for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
        controller.close();
      },
    });
    const form = await read(body).form;
    expect(form.fields.get('purpose')).toBe('x');
    expect(form.files).toMatchObject([{ filename: 'a', mimeType: 'text/plain' }]);
  });

  it('ignores files that nobody asked for, and parts without a name', async () => {
    const body = [
      part('name="other"; filename="a"', 'x'.repeat(500_000)),
      part('filename="a"'),
      part('name="__proto__"; filename="a"'),
      part('x="y"'),
      'epilogue',
    ];
    const form = await read(`${body.slice(0, 4).join('')}${END}${body[4]}`).form;
    expect(form.files).toEqual([]);
    expect(form.fields.size).toBe(0);
  });

  it('takes bytes without a name as a file where one may be', async () => {
    const octets = (name: string) =>
      part(`name="${name}"\r\nContent-Type: application/octet-stream`);
    const form = await read(`${octets('purpose')}${octets('file')}${END}`).form;
    expect(form.fields.get('purpose')).toBe('x');
    expect(form.files).toMatchObject([{ field: 'file', filename: '' }]);
  });

  it('tells names as they were written', async () => {
    const name = 'C:\\a\\..\\b.txt';
    const form = await read(`${part(`name="file"; filename="${name}"`)}${END}`).form;
    expect(form.files).toMatchObject([{ filename: name }]);
  });
});

describe('a form is refused, and nothing stays of it, when', () => {
  const file = part('name="file"; filename="a"');
  it.each([
    ['it is empty', '', null],
    ['it is something else', 'hello', null],
    ['it ends within a file', file.slice(0, -2), null],
    ['it ends within the head of a part', `${file}--${BOUNDARY}\r\nContent-Dis`, null],
    ['it ends before its end', file, null],
    [
      'it ends within a file that nobody asked for',
      part('name="z"; filename="a"').slice(0, -2),
      null,
    ],
    ['it has too many of a file', `${file}${file}${END}`, 'file'],
    ['a field is too long', `${file}${part('name="a"', 'x'.repeat(101))}${END}`, 'a'],
    ['it has too many fields', `${file}${part('name="a"').repeat(4)}${END}`, null],
    ['it has too many parts', `${file}${part('name="z"; filename="a"').repeat(50)}${END}`, null],
  ])('%s', async (_, body, param) => {
    const { contents, form } = read(body);
    await expect(form).rejects.toMatchObject({ code: 'invalid_request', param });
    expect(contents.size).toBe(0);
  });

  it('a field is longer than it may be, though another may be so long', async () => {
    const longFields = { prompt: 200 };
    const form = (name: string, length: number) =>
      read(part(`name="${name}"`, 'ü'.repeat(length / 2)) + END, { longFields }).form;
    expect((await form('prompt', 200)).fields.get('prompt')).toHaveLength(100);
    expect((await form('a', 100)).fields.get('a')).toHaveLength(50);
    for (const [name, length] of [
      ['prompt', 202],
      ['a', 102],
      ['constructor', 102],
    ] as const) {
      await expect(form(name, length)).rejects.toMatchObject({
        code: 'invalid_request',
        param: name,
      });
    }
  });

  it('nothing comes for a minute, though the connection stays', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const { stream, send } = manual();
      const { contents, form } = read(stream);
      const failed = expect(form).rejects.toMatchObject({ code: 'client_left' });
      send(file);
      await vi.advanceTimersByTimeAsync(59_000);
      send(file.slice(0, -2).replace('"file"', '"image[]"'));
      await vi.advanceTimersByTimeAsync(59_000);
      expect(contents.size).toBe(1);
      await vi.advanceTimersByTimeAsync(2_000);
      await failed;
      expect(contents.size).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it('it is too large, announced or not', async () => {
    const body = `${file}${part('name="image[]"; filename="a"', 'x'.repeat(1_000))}${END}`;
    const { contents, form } = read(body, { maxBytes: 1_000 });
    await expect(form).rejects.toMatchObject({ code: 'payload_too_large' });
    expect(contents.size).toBe(0);
    const announced = request(new ReadableStream(), { ...typed, 'content-length': '1001' });
    await expect(readForm(announced, { ...disk().options, maxBytes: 1_000 })).rejects.toMatchObject(
      { code: 'payload_too_large' },
    );
    expect(announced.bodyUsed).toBe(false);
  });

  it.each([
    ['', {}, 'invalid_request'],
    ['a=b', { 'content-type': 'application/x-www-form-urlencoded' }, 'invalid_request'],
    ['{}', { 'content-type': 'application/json' }, 'invalid_request'],
    ['x', { 'content-type': 'multipart/form-data' }, 'invalid_request'],
    [
      'x',
      { 'content-type': `multipart/form-data; boundary=${'x'.repeat(300)}` },
      'invalid_request',
    ],
    ['x', { ...typed, 'content-encoding': 'gzip' }, 'unsupported_encoding'],
  ])('it is %j with %j', async (body, headers, code) => {
    const failed = readForm(request(body, headers), disk().options);
    await expect(failed).rejects.toMatchObject({ code });
  });

  it('a file can not be received; the rest is then thrown away', async () => {
    const { stream, send } = manual();
    const { contents, options } = disk();
    const { receive } = options;
    const full = new AppError('storage_full', 'full');
    const form = readForm(request(stream, typed), {
      ...options,
      receive: (content, info) =>
        info.field === 'file' ? receive(content, info) : Promise.reject(full),
    });
    send(file);
    send(part('name="image[]"; filename="a"', 'x'.repeat(200_000)));
    for (let more = 0; more < 10; more++) send('x'.repeat(200_000));
    await expect(form).rejects.toBe(full);
    expect(contents.size).toBe(0);
    send('x');
    await turn();
  });

  it('the caller leaves', async () => {
    const { stream, send, fail } = manual();
    const { contents, form } = read(stream);
    send(file);
    send(file.slice(0, -2).replace('"file"', '"image[]"'));
    await turn();
    fail();
    await expect(form).rejects.toMatchObject({ code: 'client_left' });
    expect(contents.size).toBe(0);
  });
});
