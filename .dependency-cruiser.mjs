// The layer rules of docs/architecture.md as a failing check: imports run downward only.

const floors = [
  ['^src/platform/'],
  ['^src/openai/', '^src/gemini/'],
  ['^src/features/'],
  ['^src/api/', '^src/jobs/', '^src/console/'],
  ['^src/app/', '^src/(server|proxy|instrumentation|start-up|welcome)\\.ts$'],
];

const ranks = [
  ['settings'],
  ['auth', 'keys', 'models', 'usage', 'notify'],
  ['accounts'],
  ['files', 'media', 'renewal'],
  ['chat'],
  ['transfer', 'sync', 'backup'],
];

/** Files that only translate: no database, environment, log, network or clock. */
const pure = [
  '^src/openai/',
  '^src/gemini/(stream|events|citations|fields|tools)\\.ts$',
  '^src/features/[^/]+/(schema|state|rest-rules|quota|pacific-day|guard|roster|selection|key-format|to-gemini|to-openai|citations|reply-text|tokens|shorten|legacy-config)\\.ts$',
];

const room = (name) => `^src/features/${name}/`;

const upward = floors.slice(0, -1).map((floor, index) => ({
  name: `floor-${index + 1}-imports-downward`,
  comment: 'Imports run downward only. Move the code down, or pass the value in as an argument.',
  severity: 'error',
  from: { path: floor },
  to: { path: floors.slice(index + 1).flat() },
}));

const ranked = ranks.flatMap((names, index) =>
  names.map((name) => ({
    name: `feature-${name}-imports-lower-ranks`,
    comment: 'A feature imports features of a lower rank only. Shared code belongs one rank lower.',
    severity: 'error',
    from: { path: room(name) },
    to: {
      path: ranks.slice(index).flat().map(room),
      pathNot: room(name),
    },
  })),
);

export default {
  forbidden: [
    ...upward,
    ...ranked,
    {
      name: 'no-circles',
      comment:
        'Two files that need each other are one idea: merge them, or cut out what both need.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'languages-are-strangers',
      comment: 'openai/ and gemini/ do not know each other; features/chat translates.',
      severity: 'error',
      from: { path: '^src/(openai|gemini)/' },
      to: { path: '^src/(openai|gemini)/', pathNot: '^src/$1/' },
    },
    {
      name: 'doors-are-thin',
      comment: 'A door calls a feature; it does not touch the database or the upstream.',
      severity: 'error',
      from: { path: '^src/(api|jobs|console|app)/', pathNot: '\\.test\\.ts$' },
      to: { path: '^src/(gemini/|generated/|platform/db\\.ts)' },
    },
    {
      name: 'gemini-has-no-database',
      severity: 'error',
      from: { path: '^src/gemini/' },
      to: { path: '^src/(generated/|platform/db\\.ts)' },
    },
    {
      name: 'console-is-browser-code',
      comment: 'The console may take types from the server, and pure schemas; no other value.',
      severity: 'error',
      from: { path: '^src/console/' },
      to: {
        path: '^src/',
        pathNot: '^src/(console/|features/[^/]+/schema\\.ts$)',
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'pure-files-stay-pure',
      comment: 'A pure translator takes everything as an argument.',
      severity: 'error',
      from: { path: pure, pathNot: '\\.test\\.ts$' },
      to: {
        path: '^src/(generated/|platform/(?!(errors|proxy-url|web-url)\\.ts))|^node:',
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'pure-files-use-no-core-modules',
      severity: 'error',
      from: { path: pure, pathNot: '\\.test\\.ts$' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'product-knows-no-test-equipment',
      severity: 'error',
      from: { path: '^src/', pathNot: '\\.test\\.ts$' },
      to: { path: '^(e2e|scripts)/' },
    },
    {
      name: 'stand-in-is-a-second-implementation',
      comment: 'The stand-in upstream shares no code with the product.',
      severity: 'error',
      from: { path: '^e2e/stand-in/', pathNot: '\\.test\\.ts$' },
      to: { path: '^src/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^src/generated/|^node_modules/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.tsx', '.mjs', '.js'] },
  },
};
