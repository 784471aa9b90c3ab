// Is there an NVIDIA card, and are its libraries? Its driver's own program tells.

import { spawnSync } from 'node:child_process';

/** The driver's version from which CUDA 13 works. */
const DRIVER = 580;

/** What the first card is called and which driver it has; nothing without a card or driver. */
export function nvidiaCard() {
  const asked = spawnSync('nvidia-smi', ['--query-gpu=name,driver_version', '--format=csv,noheader'], { encoding: 'utf8' });
  if (asked.status !== 0) return undefined;
  const [name, driver] = asked.stdout.trim().split('\n')[0].split(',').map((word) => word.trim());
  if (!name || !driver) return undefined;
  const old = Number.parseInt(driver, 10) < DRIVER;
  return { name, driver, trouble: old ? `its driver ${driver} is too old for CUDA 13: install ${DRIVER} or later` : undefined };
}

/** Has the system CUDA 13 and cuDNN 9 itself, where every program finds them? */
export function cudaIsInstalled() {
  if (process.platform !== 'linux') return false;
  const { stdout, status } = spawnSync('sh', ['-c', 'PATH=$PATH:/sbin:/usr/sbin ldconfig -p'], { encoding: 'utf8' });
  return status === 0 && ['libcudart.so.13', 'libcublasLt.so.13', 'libcudnn.so.9'].every((name) => stdout.includes(`\t${name} `));
}
