import { describe, expect, it } from 'vitest';
import { parseImageEdit, parseImageEditForm, parseImageGeneration } from '@/openai/images';
import { parseVideoListQuery, parseVideoRequest } from '@/openai/videos';

const local = {
  source: 'local' as const,
  name: 'a.png',
  mimeType: 'image/png',
  path: '/a',
  byteCount: 1,
  param: 'image',
};

describe('a generation', () => {
  it('needs a prompt alone, and takes null for all else', () => {
    const defaults = { model: 'gemini-image', prompt: 'A cat', n: 1, format: 'url' };
    const none = { model: null, n: null, size: null, quality: null, style: null, user: null };
    for (const more of [{}, { ...none, response_format: null, output_format: null }]) {
      expect(parseImageGeneration({ prompt: 'A cat', ...more })).toMatchObject(defaults);
    }
  });

  it.each([
    ['prompt', {}],
    ['prompt', { prompt: '' }],
    ['prompt', { prompt: null }],
    ['n', { prompt: 'x', n: 0 }],
    ['n', { prompt: 'x', n: 11 }],
    ['n', { prompt: 'x', n: '2' }],
    ['size', { prompt: 'x', size: 'big' }],
    ['response_format', { prompt: 'x', response_format: 'png' }],
    ['output_format', { prompt: 'x', output_format: 'tiff' }],
    ['stream', { prompt: 'x', stream: true }],
  ])('names a wrong %s: %j', (param, body) => {
    expect(() => parseImageGeneration(body)).toThrow(
      expect.objectContaining({ code: 'invalid_request', param }),
    );
  });
});

describe('an edit', () => {
  it('takes pictures by address, data or file id', () => {
    const images = [{ image_url: 'https://a.example/a.png' }, { file_id: 'file-1' }];
    const { attachments } = parseImageEdit({ prompt: 'Redder', images });
    expect(attachments).toMatchObject([{ source: 'url' }, { source: 'upload' }]);
  });

  it.each([
    ['images', { prompt: 'x' }],
    ['images', { prompt: 'x', images: [] }],
    ['images[0]', { prompt: 'x', images: [{}] }],
    ['images[0].image_url', { prompt: 'x', images: [{ image_url: 'data:,x' }] }],
  ])('names a wrong %s', (param, body) => {
    expect(() => parseImageEdit(body)).toThrow(expect.objectContaining({ param }));
  });

  it('takes a form, whose numbers are text, and tells the model of the mask', () => {
    const fields = new Map([
      ['prompt', 'Redder'],
      ['n', '2'],
      ['response_format', 'b64_json'],
    ]);
    const edit = parseImageEditForm(fields, [local], { ...local, param: 'mask' });
    expect(edit).toMatchObject({ n: 2, format: 'b64_json' });
    expect(edit.attachments.map(({ name }) => name)).toEqual(['mask.png', 'a.png']);
    expect(edit.prompt).toMatch(/mask.*\n\nRedder$/);
    expect(() => parseImageEditForm(fields, [], null)).toThrow(
      expect.objectContaining({ param: 'image' }),
    );
  });

  it('takes a picture for a mask only if it was sent as one', () => {
    const image = { ...local, name: 'mask.png' };
    const plain = parseImageEditForm(new Map([['prompt', 'Redder']]), [image], null);
    expect(plain).toMatchObject({ prompt: 'Redder', attachments: [image] });
    const address = { image_url: 'https://a.example/mask.png' };
    expect(parseImageEdit({ prompt: 'Redder', images: [address] }).prompt).toBe('Redder');
    const masked = parseImageEdit({ prompt: 'x', images: [address], mask: { file_id: 'file-1' } });
    // The first of a name keeps it.
    expect(masked.attachments).toMatchObject([
      { name: 'mask.png', fileId: 'file-1' },
      { name: 'mask.png', source: 'url' },
    ]);
  });

  it('takes 16 pictures and no more', () => {
    const fields = new Map([['prompt', 'Redder']]);
    const images = Array.from({ length: 17 }, () => local);
    expect(parseImageEditForm(fields, images.slice(1), null).attachments).toHaveLength(16);
    expect(() => parseImageEditForm(fields, images, null)).toThrow(
      expect.objectContaining({ code: 'invalid_request', param: 'image' }),
    );
  });
});

describe('a video', () => {
  it('needs a prompt alone; seconds may be a number', () => {
    expect(parseVideoRequest({ prompt: 'A cat' }, null)).toEqual({
      model: 'gemini-video',
      prompt: 'A cat',
      seconds: '8',
      size: '1280x720',
      attachments: [],
    });
    expect(parseVideoRequest({ prompt: 'A cat', seconds: 4 }, local)).toMatchObject({
      seconds: '4',
      attachments: [local],
    });
  });

  it.each([
    ['prompt', {}],
    ['seconds', { prompt: 'x', seconds: 'four' }],
    ['size', { prompt: 'x', size: 'wide' }],
    ['model', { prompt: 'x', model: 'm'.repeat(201) }],
    ['input_reference.image_url', { prompt: 'x', input_reference: 'data:,x' }],
  ])('names a wrong %s', (param, body) => {
    expect(() => parseVideoRequest(body, null)).toThrow(
      expect.objectContaining({ code: 'invalid_request', param }),
    );
  });

  it('has a prompt that can be stored whole', () => {
    expect(parseVideoRequest({ prompt: 'a\0b\ud800' }, null).prompt).toBe('a\ufffdb\ufffd');
  });

  it('is listed by pages', () => {
    expect(parseVideoListQuery([])).toEqual({ limit: 20, order: 'desc', after: null });
    expect(parseVideoListQuery([['limit', '100']]).limit).toBe(100);
    const wrong: [string, string][] = [
      ['limit', '0'],
      ['limit', '101'],
      ['order', 'up'],
      ['after', 'video_\0'],
    ];
    for (const [name, value] of wrong) {
      expect(() => parseVideoListQuery([[name, value]])).toThrow(
        expect.objectContaining({ code: 'invalid_request', param: name }),
      );
    }
  });
});
