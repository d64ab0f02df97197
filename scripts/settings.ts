import { Settings, secretSettings } from '@/features/settings/schema';
import { resetSettings, settings, updateSettings } from '@/features/settings/settings';
import { AppError } from '@/platform/errors';
import { exitName } from '@/platform/proxy-url';
import { printTable, runCommand } from './command-line.ts';

const HELP = `npm run settings -- list               all settings; those that differ from their default are marked
npm run settings -- set NAME VALUE     VALUE is a number (times in milliseconds), a word, or none
npm run settings -- reset NAME         back to the default`;

await runCommand(HELP, async ([verb, name, value, ...rest]) => {
  if (rest.length > 0) return false;
  if (verb === 'list' && name === undefined) return list();
  if (name === undefined) return false;
  if (verb === 'set' && value !== undefined) {
    const setting = settingName(name);
    await updateSettings({ [setting]: parseValue(setting, value) });
  } else if (verb === 'reset' && value === undefined) {
    await resetSettings([settingName(name)]);
  } else {
    return false;
  }
  console.log(`${name} is ${verb}. A running server sees it within a second.`);
  return true;
});

async function list(): Promise<true> {
  const inForce = await settings();
  const defaults = Settings.parse({});
  printTable(
    ['', 'setting', 'value', 'default'],
    Object.keys(Settings.shape).map((key) => {
      const setting = key as keyof Settings;
      const isChanged = inForce[setting] !== defaults[setting];
      return [isChanged ? '*' : '', setting, shown(setting, inForce), shown(setting, defaults)];
    }),
    'There are no settings.',
  );
  return true;
}

function shown(name: keyof Settings, values: Settings): string {
  const value = values[name];
  if (value === null) return 'none';
  if (name === 'proxyUrl') return exitName(String(value));
  return secretSettings.has(name) ? '(set)' : String(value);
}

function settingName(name: string): keyof Settings {
  if (Object.hasOwn(Settings.shape, name)) return name as keyof Settings;
  throw new AppError('not_found', `There is no setting ${name}. See: npm run settings -- list`);
}

/** A number, true, false or null is meant as such, unless the setting is a text. */
function parseValue(name: keyof Settings, text: string): unknown {
  if (text === 'none') return null;
  if (isText(name)) return text;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? text : value;
  } catch {
    return text;
  }
}

function isText(name: keyof Settings): boolean {
  return Settings.shape[name].safeParse('1').success;
}
