/**
 * `npm run build`: everything that runs, into dist/.
 *
 *     runcell, executor   machine code (scripts/emit.ts)
 *     runcell.cjs         the hot verbs, one file, at most 150 KB of script
 *     cold.cjs            help and the rare verbs, with oclif
 *     explain.cjs         the validators that name every problem, loaded after a no
 *
 * The same sources give the same bytes. Nothing but this package's own files and node_modules is read.
 */

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import { emit } from './emit.ts';
import { generateSpec } from './generate-spec.ts';
import { compactManifest, type FullManifest } from './manifest.ts';

const root = path.join(import.meta.dirname, '..');
const HOT_LIMIT = 150_000;

const GENERATED = path.join(root, 'packages/spec/generated');

/** Parts that are loaded late are files of their own beside the bundle. */
const apart: Plugin = {
  name: 'apart',
  setup: ({ onResolve }) => {
    onResolve({ filter: /\/help\/cold\.ts$/ }, ({ kind }) =>
      kind === 'entry-point' ? undefined : { path: './cold.cjs', external: true },
    );
    onResolve({ filter: /\/explain\.cjs$/ }, () => ({ path: './explain.cjs', external: true }));
  },
};

/** The parser needs a tenth of the manifest; the texts stay for the help. */
const hotManifest: Plugin = {
  name: 'hot-manifest',
  setup: ({ onLoad }) => {
    onLoad({ filter: /[/\\]oclif\.manifest\.json$/ }, ({ path: file }) => {
      const full = JSON.parse(fs.readFileSync(file, 'utf8')) as FullManifest;
      return { contents: JSON.stringify(compactManifest(full)), loader: 'json' };
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
  fs.mkdirSync(outDir, { recursive: true });
  await generateSpec();
  emit(outDir, arch);
  const shared = sharedOptions();
  await Promise.all([
    build({
      ...shared,
      entryPoints: [path.join(root, 'src/main.ts')],
      outfile: path.join(outDir, 'runcell.cjs'),
      plugins: [apart, hotManifest],
      external: ['proper-lockfile'],
    }),
    build({
      ...shared,
      entryPoints: [path.join(root, 'src/help/cold.ts')],
      outfile: path.join(outDir, 'cold.cjs'),
      plugins: [apart],
    }),
  ]);
  fs.copyFileSync(path.join(GENERATED, 'explain.cjs'), path.join(outDir, 'explain.cjs'));
  const sizes: Record<string, number> = {};
  for (const name of ['runcell', 'executor', 'runcell.cjs', 'cold.cjs', 'explain.cjs']) {
    sizes[name] = fs.statSync(path.join(outDir, name)).size;
  }
  return { outDir, sizes };
}

function sharedOptions(): BuildOptions {
  return {
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node26',
    minify: true,
    legalComments: 'none',
    sourcemap: false,
    absWorkingDir: root,
    define: { RUNCELL_COMMIT: JSON.stringify(commit()) },
    // `import.meta` is only used where there is no __dirname, which the bundle has.
    logOverride: { 'empty-import-meta': 'silent' },
    logLevel: 'warning',
  };
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
  if (sizes['runcell.cjs']! > HOT_LIMIT) {
    console.error(`runcell.cjs is larger than ${HOT_LIMIT} bytes`);
    process.exit(1);
  }
}
