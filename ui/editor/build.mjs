// Bundles the editing surface into ui/dist/editor.js. `--release`: small, without a source map; `--out FILE`: elsewhere.

import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const release = process.argv.includes('--release');
const out = process.argv.indexOf('--out');

await build({
  absWorkingDir: here,
  entryPoints: ['index.ts'],
  outfile: out > 0 ? process.argv[out + 1] : '../dist/editor.js',
  bundle: true,
  format: 'iife',
  target: ['es2022', 'safari16'],
  minify: release,
  sourcemap: release ? false : 'inline',
  legalComments: release ? 'eof' : 'none',
  define: { 'process.env.NODE_ENV': JSON.stringify(release ? 'production' : 'development') },
  logLevel: 'info',
});
