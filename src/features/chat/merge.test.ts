import { describe, expect, it } from 'vitest';
import { merge } from '@/features/chat/merge';

const nothing = () => {};

async function* counted(values: string[], ended: string[], name: string, failAt = -1) {
  try {
    for (const [index, value] of values.entries()) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      if (index === failAt) throw new Error(`${name} failed`);
      yield value;
    }
  } finally {
    ended.push(name);
  }
}

describe('merge', () => {
  it('gives the values of all, each in its order', async () => {
    const got: string[] = [];
    for await (const value of merge(
      [counted(['a1', 'a2', 'a3'], [], 'a'), counted(['b1', 'b2'], [], 'b')],
      nothing,
    )) {
      got.push(value);
    }
    expect(got.filter((value) => value.startsWith('a'))).toEqual(['a1', 'a2', 'a3']);
    expect(got.filter((value) => value.startsWith('b'))).toEqual(['b1', 'b2']);
  });

  it('ends all when one fails', async () => {
    const ended: string[] = [];
    const consume = async () => {
      for await (const _ of merge(
        [counted(['a1', 'a2', 'a3', 'a4'], ended, 'a'), counted(['b1', 'b2'], ended, 'b', 1)],
        nothing,
      ));
    };
    await expect(consume()).rejects.toThrow('b failed');
    expect(ended.sort()).toEqual(['a', 'b']);
  });

  it('ends all when the consumer leaves', async () => {
    const ended: string[] = [];
    for await (const _ of merge(
      [counted(['a1', 'a2'], ended, 'a'), counted(['b1', 'b2'], ended, 'b')],
      nothing,
    )) {
      break;
    }
    expect(ended.sort()).toEqual(['a', 'b']);
  });

  it('does not wait for a source that waits for ever: it is aborted', async () => {
    const controller = new AbortController();
    async function* waiting() {
      await new Promise((_, reject) => {
        controller.signal.addEventListener('abort', () => reject(new Error('aborted')));
      });
      yield 'never';
    }
    const consume = async () => {
      const sources = [waiting(), counted(['b1'], [], 'b', 0)];
      for await (const _ of merge(sources, () => controller.abort()));
    };
    await expect(consume()).rejects.toThrow('b failed');
    expect(controller.signal.aborted).toBe(true);
  });
});
