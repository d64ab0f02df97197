import { describe, expect, it } from 'vitest';
import { type AttachmentPart, toAttachment, toPromptAttachment } from '@/openai/attachments';

const png = Buffer.from('89504e470d0a1a0a', 'hex');
const base64 = png.toString('base64');
const at = 'messages[0].content[1]';
const imagePart = (url: string): AttachmentPart => ({ type: 'image_url', image_url: url });
const filePart = (file: object): AttachmentPart => ({ type: 'file', file });

const bytesOf = (part: AttachmentPart) => {
  const attachment = toAttachment(part, at);
  return attachment.source === 'inline' ? Buffer.from(attachment.bytes).toString('base64') : null;
};

describe('what comes along whole', () => {
  it.each([
    ['a data URL', `data:image/png;base64,${base64}`],
    ['one with a parameter', `data:image/png;charset=utf-8;base64,${base64}`],
    ['one without a type', `data:;base64,${base64}`],
    ['one with line breaks', `data:image/png;base64,\n${base64.slice(0, 4)}\r\n${base64.slice(4)}`],
    ['one without padding', `DATA:image/png;BASE64,${base64.replace(/=+$/, '')}`],
  ])('%s', (_, url) => {
    expect(bytesOf(imagePart(url))).toBe(base64);
  });

  it('bare base64 or a data URL as file_data, with its name', () => {
    for (const file_data of [base64, `data:application/pdf;base64,${base64}`]) {
      const attachment = toAttachment(filePart({ file_data, filename: '报告 (1).pdf' }), at);
      expect(attachment).toMatchObject({ source: 'inline', name: '报告 (1).pdf' });
      expect(bytesOf(filePart({ file_data }))).toBe(base64);
    }
  });

  it('URL-safe base64', () => {
    const bytes = Buffer.from([0xfb, 0xff, 0xfe]);
    expect(bytesOf(filePart({ file_data: bytes.toString('base64url') }))).toBe('+//+');
  });

  it('audio by its format, and the two older forms', () => {
    const audio = { type: 'input_audio', input_audio: { data: base64, format: 'mp3' } } as const;
    expect(toAttachment(audio, at)).toMatchObject({ mimeType: 'audio/mpeg' });
    expect(bytesOf({ type: 'image', data: base64 })).toBe(base64);
    expect(toPromptAttachment({ data: `data:image/png;base64,${base64}` }, 'p')).toMatchObject({
      source: 'inline',
      param: 'p.data',
    });
  });
});

it('is an address or a file id', () => {
  expect(toAttachment(imagePart('https://a.example/cat.png?x=1'), at)).toMatchObject({
    source: 'url',
    isImage: true,
    name: 'cat.png',
    param: `${at}.image_url`,
  });
  expect(toAttachment({ type: 'video_url', video_url: 'http://a.example/' }, at)).toMatchObject({
    source: 'url',
    isImage: false,
    name: null,
  });
  for (const part of [filePart({ file_id: 'file-1' }), filePart({ id: 'file-1' })]) {
    expect(toAttachment(part, at)).toMatchObject({ source: 'upload', fileId: 'file-1' });
  }
  const older: AttachmentPart = { type: 'file', file_id: 'file-1' };
  expect(toAttachment(older, at)).toMatchObject({ source: 'upload', fileId: 'file-1' });
});

describe('what can not be used', () => {
  it.each([
    ['an empty data URL', imagePart('data:image/png;base64,'), 'invalid_base64_image'],
    ['no base64', imagePart('data:image/png;base64,%%%%'), 'invalid_base64_image'],
    ['a digit too few', imagePart('data:image/png;base64,AAAAA'), 'invalid_base64_image'],
    ['text as data URL', imagePart('data:text/plain,hello'), 'invalid_base64_image'],
    ['another scheme', imagePart('file:///etc/passwd'), 'invalid_image_url'],
    ['no address', imagePart('cat.png'), 'invalid_image_url'],
    ['no host', imagePart('http://'), 'invalid_image_url'],
    ['neither id nor data', filePart({}), 'missing_required_parameter'],
    ['no file at all', { type: 'file' } as AttachmentPart, 'missing_required_parameter'],
    ['broken file data', filePart({ file_data: '***' }), 'invalid_file_data'],
  ])('%s', (_, part, detail) => {
    expect(() => toAttachment(part, at)).toThrow(
      expect.objectContaining({
        code: 'invalid_request',
        detail,
        param: expect.stringMatching(/^messages\[0\]\.content\[1\]\./),
      }),
    );
  });
});
