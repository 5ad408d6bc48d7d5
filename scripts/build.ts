/**
 * `npm run build`: everything that runs, into dist/.
 *
 *     runcell, executor     machine code (scripts/emit.ts)
 *     runcell.cjs           picks the bundle of a verb (src/boot.ts)
 *     hot/VERB.js           a hot verb and all it loads, at most 150 KB of script
 *     hot/VERB.ARCH.cache   V8's code cache of it (scripts/code-cache.ts, scripts/train.ts)
 *     hot/rest.js           versions, usage errors, the way to cold.cjs
 *     cold.cjs              help and the rare verbs, with oclif
 *     late-MODULE.cjs       what a verb loads only when it is needed: its import()
 *     late-*.cjs            what a verb imports only when it needs it
 *     explain.cjs           the validators that name every problem, loaded after a no
 *
 * The same sources give the same bytes, the cache apart. Nothing but this package's own files and
 * node_modules is read.
 */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import { HOT_VERBS } from '../src/commands/verb.ts';
import { NODE_FLAGS } from '../src/launcher/hand-over.ts';
import { DEFAULT_DEVICE_FILTER } from '../src/libcontainer/cgroups/default-device-filter.ts';
import * as syscall from '../src/libcontainer/linux/syscall.ts';
import { emit } from './emit.ts';
import { generateSpec } from './generate-spec.ts';
import { compactManifest, type FullManifest } from './manifest.ts';
import { trainCodeCaches } from './train.ts';

const require = createRequire(import.meta.url);

const root = path.join(import.meta.dirname, '..');
/** Bytes of script that a verb of runc's may load: its bundle and src/boot.ts. */
const HOT_LIMIT = 150_000;
/** The same for `container create` and `container run`, which make a bundle over an image first. */
const STORAGE_LIMIT = 180_000;

const GENERATED = path.join(root, 'packages/spec/generated');

/**
 * What is loaded late is a file of its own in dist: whatever a module imports by `import()`. Its
 * name is added to `late`.
 */
const apart = (late: Set<string>): Plugin => ({
  name: 'apart',
  setup: ({ onResolve }) => {
    onResolve({ filter: /^\.\.?\// }, ({ kind, path: name, resolveDir }) => {
      if (kind !== 'dynamic-import') return undefined;
      const source = path.relative(path.join(root, 'src'), path.resolve(resolveDir, name));
      if (source === 'help/cold.ts') return { path: './cold.cjs', external: true };
      late.add(source);
      return { path: `./${lateFile(source)}`, external: true };
    });
  },
});

const explainApart: Plugin = {
  name: 'explain-apart',
  setup: ({ onResolve }) => {
    onResolve({ filter: /\/explain\.cjs$/ }, () => ({ path: './explain.cjs', external: true }));
  },
};

/**
 * `libcontainer/store/lock.ts` → `late-store-lock.cjs`: beside the bundle, since modules look from there.
 * Short, since a hot bundle has each of these names.
 */
const lateFile = (source: string): string =>
  `late-${source.replace(/^libcontainer\/|\.ts$/g, '').replaceAll('/', '-')}.cjs`;

/** One class of errors for all files: the running bundle's, by way of the global object. */
const sharedError: Plugin = {
  name: 'shared-error',
  setup: ({ onLoad }) => {
    onLoad({ filter: /[/\\]src[/\\]error\.ts$/ }, ({ path: file }) => {
      const text = fs.readFileSync(file, 'utf8');
      const exported = [...text.matchAll(/^export (?:const|class|function) (\w+)/gm)];
      const names = exported.map((match) => match[1]!).join(', ');
      const all = `const { ${names} } = globalThis[Symbol.for('runcell.error')];`;
      return { contents: `${all}\nexport { ${names} };`, loader: 'js' };
    });
  },
};

/** The numbers of this architecture's system calls alone: the others are 3 KB that nothing reads. */
const ownSyscalls: Plugin = {
  name: 'own-syscalls',
  setup: ({ onLoad }) => {
    onLoad({ filter: /[/\\]linux[/\\]syscall\.ts$/ }, () => {
      const own = Object.entries(syscall.SYSCALLS).filter(([arch]) => arch === process.arch);
      const all = { ...syscall, SYSCALLS: Object.fromEntries(own) };
      const lines = Object.entries(all).map(
        ([name, value]) => `export const ${name} = ${JSON.stringify(value)};`,
      );
      return { contents: lines.join('\n'), loader: 'js' };
    });
  },
};

/** What the source computes, as its result: the device filter without its compiler. */
const deviceFilter: Plugin = {
  name: 'device-filter',
  setup: ({ onLoad }) => {
    onLoad({ filter: /[/\\]default-device-filter\.ts$/ }, () => ({
      contents: `export const DEFAULT_DEVICE_FILTER = '${DEFAULT_DEVICE_FILTER}';`,
      loader: 'js',
    }));
  },
};

/** The parser needs a tenth of the manifest, and a bundle its own verbs; the rest is for the help. */
const hotManifest = (has: (id: string) => boolean): Plugin => ({
  name: 'hot-manifest',
  setup: ({ onLoad }) => {
    onLoad({ filter: /[/\\]oclif\.manifest\.json$/ }, ({ path: file }) => {
      const full = JSON.parse(fs.readFileSync(file, 'utf8')) as FullManifest;
      return { contents: JSON.stringify(compactManifest(full, has)), loader: 'json' };
    });
  },
});

/**
 * Node's modules as ES modules: esbuild would copy every property of `fs` for each of our modules
 * that imports it, 0.1 ms each time.
 */
const builtins: Plugin = {
  name: 'builtins',
  setup: ({ onResolve, onLoad }) => {
    onResolve({ filter: /^node:/ }, ({ path: name, namespace }) =>
      namespace === 'builtin'
        ? { path: name, external: true }
        : { path: name, namespace: 'builtin' },
    );
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path: name }) => {
      const names = Object.keys(require(name) as object).filter((key) => key !== 'default');
      const lines = names.map((key) => `export const ${key} = /* @__PURE__ */ get('${key}');`);
      const head = `const all = require('${name}'); export default all; const get = (key) => all[key];`;
      return { contents: [head, ...lines].join('\n'), loader: 'js' };
    });
  },
};

export interface Built {
  readonly outDir: string;
  /** Bytes by file name. */
  readonly sizes: Readonly<Record<string, number>>;
}

export async function buildAll(outDir = path.join(root, 'dist')): Promise<Built> {
  const arch = process.arch;
  if (arch !== 'x64' && arch !== 'arm64') throw new Error(`no executor for ${arch}`);
  const hotDir = path.join(outDir, `hot.${process.pid}`);
  fs.mkdirSync(hotDir, { recursive: true });
  await generateSpec();
  emit(outDir, arch);
  const shared = sharedOptions();
  const late = new Set<string>();
  await Promise.all([
    build({
      ...shared,
      // Of boot alone: for a list esbuild gives every module of a bundle a call of its own.
      define: { ...shared.define, RUNCELL_BUNDLES: JSON.stringify(HOT_VERBS.map(fileOf)) },
      entryPoints: [path.join(root, 'src/boot.ts')],
      outfile: path.join(outDir, 'runcell.cjs'),
      plugins: [builtins],
    }),
    build({
      ...shared,
      entryPoints: [path.join(root, 'src/help/cold.ts')],
      outfile: path.join(outDir, 'cold.cjs'),
      plugins: [explainApart, sharedError, ownSyscalls, deviceFilter],
    }),
    ...['', ...HOT_VERBS].map((id) => buildHot(shared, id, hotDir, late)),
  ]);
  await buildLate(shared, outDir, late);
  fs.copyFileSync(path.join(GENERATED, 'explain.cjs'), path.join(outDir, 'explain.cjs'));
  makeCodeCaches(hotDir);
  await trainCodeCaches({ hotDir, outDir, root, esbuild: shared });
  replaceHot(outDir, hotDir, late);
  return { outDir, sizes: sizesOf(outDir) };
}

/** Takes the new bundles in and the late files of older sources out, in as short a time as may be. */
function replaceHot(outDir: string, hotDir: string, late: ReadonlySet<string>): void {
  const old = path.join(outDir, `hot.old.${process.pid}`);
  const hot = path.join(outDir, 'hot');
  if (fs.existsSync(hot)) fs.renameSync(hot, old);
  fs.renameSync(hotDir, hot);
  fs.rmSync(old, { recursive: true, force: true });
  const wanted = [...late].map(lateFile);
  for (const name of fs.readdirSync(outDir)) {
    if (name.startsWith('late-') && !wanted.includes(name)) fs.rmSync(path.join(outDir, name));
  }
}

const limitOf = (name: string): number =>
  /container-(create|run)\.js$/.test(name) ? STORAGE_LIMIT : HOT_LIMIT;

const fileOf = (id: string): string => id.replace(':', '-');

/** One verb with main around it, as the function that src/boot.ts calls. */
async function buildHot(
  shared: BuildOptions,
  id: string,
  hotDir: string,
  late: Set<string>,
): Promise<void> {
  const module = JSON.stringify(`./src/commands/${id.replace(':', '/')}.ts`);
  const verb = id === '' ? 'undefined' : `verbs[${JSON.stringify(exportOf(id))}]`;
  const lines = [
    id === '' ? '' : `import * as verbs from ${module};`,
    `import { runMain } from './src/main.ts';`,
    `import * as error from './src/error.ts';`,
    `globalThis[Symbol.for('runcell.error')] = error;`,
    `runMain(${JSON.stringify(id)}, ${verb});`,
  ];
  const has = (other: string) => (id === '' ? !HOT_VERBS.includes(other) : other === id);
  const { outputFiles } = await build({
    ...shared,
    stdin: { contents: lines.join('\n'), resolveDir: root, loader: 'ts' },
    write: false,
    plugins: [builtins, explainApart, apart(late), ownSyscalls, deviceFilter, hotManifest(has)],
    external: ['proper-lockfile'],
  });
  const text = outputFiles![0]!.text.trimEnd();
  const outfile = path.join(hotDir, `${id === '' ? 'rest' : fileOf(id)}.js`);
  fs.writeFileSync(outfile, `(function(require,__dirname,startBundle){${text}\n})`);
}

/** The late files, and those that they load late. */
async function buildLate(shared: BuildOptions, outDir: string, late: Set<string>): Promise<void> {
  // A set gives what is added while it is walked.
  for (const source of late) {
    await build({
      ...shared,
      entryPoints: [path.join(root, 'src', source)],
      outfile: path.join(outDir, lateFile(source)),
      plugins: [builtins, explainApart, apart(late), sharedError, ownSyscalls, deviceFilter],
      external: ['proper-lockfile'],
    });
  }
}

/** The function's name in its module: the verb in camel case, but for a reserved word. */
function exportOf(id: string): string {
  if (id === 'delete') return 'remove';
  return id.replace(/:(.)/, (_, letter: string) => letter.toUpperCase());
}

/** By the Node and with the flags that will read them: V8 takes no others. */
function makeCodeCaches(directory: string): void {
  const script = path.join(root, 'scripts/code-cache.ts');
  execFileSync(pinnedNode(), [...NODE_FLAGS, script, directory], { stdio: 'inherit' });
}

function pinnedNode(): string {
  return path.join(
    path.dirname(require.resolve(`node-linux-${process.arch}/package.json`)),
    'bin/node',
  );
}

function sizesOf(outDir: string): Record<string, number> {
  const sizes: Record<string, number> = {};
  for (const name of fs.readdirSync(outDir, { recursive: true, encoding: 'utf8' }).sort()) {
    const stat = fs.statSync(path.join(outDir, name));
    if (stat.isFile()) sizes[name] = stat.size;
  }
  return sizes;
}

function sharedOptions(): BuildOptions {
  return {
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node26',
    // A bundle that runs from the code cache has `require` and no import().
    supported: { 'dynamic-import': false },
    minify: true,
    legalComments: 'none',
    sourcemap: false,
    absWorkingDir: root,
    define: {
      'process.arch': JSON.stringify(process.arch),
      RUNCELL_COMMIT: JSON.stringify(commit()),
      RUNCELL_NODE: JSON.stringify(process.version),
      RUNCELL_FILTERS: JSON.stringify(filterCompiler()),
    },
    // `import.meta` is only used where there is no __dirname, which the bundle has.
    logOverride: { 'empty-import-meta': 'silent' },
    logLevel: 'warning',
  };
}

/** A digest of what makes filters of system calls: kept filters are those of the same compiler. */
function filterCompiler(): string {
  const directory = path.join(root, 'src/libcontainer/seccomp');
  const hash = createHash('sha256');
  for (const name of fs.readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort()) {
    const file = path.join(directory, name);
    if (name.endsWith('.ts')) hash.update(`${name}\0`).update(fs.readFileSync(file));
  }
  return hash.digest('hex').slice(0, 16);
}

/** An installed package has no repository, and its build says so. */
function commit(): string {
  try {
    return execFileSync('git', ['-C', root, 'rev-parse', '--verify', 'HEAD'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return 'unknown';
  }
}

if (process.argv[1] === import.meta.filename) {
  const { outDir, sizes } = await buildAll();
  for (const [name, size] of Object.entries(sizes)) {
    console.log(`${path.relative(process.cwd(), path.join(outDir, name))}  ${size}`);
  }
  const boot = sizes['runcell.cjs']!;
  const large = Object.entries(sizes).filter(
    ([name, size]) =>
      name.startsWith('hot/') && name.endsWith('.js') && size + boot > limitOf(name),
  );
  for (const [name] of large) console.error(`${name}: more than ${limitOf(name)} bytes with boot`);
  if (large.length > 0) process.exit(1);
}
