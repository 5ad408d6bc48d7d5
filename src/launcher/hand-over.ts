/**
 * What the launcher hands to Node in a memfd: a header and the caller's environment block.
 *
 *     0   u32 magic 'RCL1'       24  u64 RLIMIT_NOFILE, soft
 *     4   u32 version            32  u64 RLIMIT_NOFILE, hard
 *     8   u32 keep               40  u32 pid of the launcher (Node has the same)
 *     12  u32 listenFds          44  u32 0
 *     16  i32 firstMissingFd     48  environment: strings that each end with NUL
 *     20  u32 umask
 *
 * The caller's environment is data: Node itself starts with an empty one, so that NODE_OPTIONS and
 * its like never reach it. Node raises RLIMIT_NOFILE at its start, hence the limits. Little endian.
 * The emitter of the launcher imports the constants from here. Pure, no I/O.
 */

/**
 * Flags of the pinned Node. Without a rehash of its snapshot it starts 3 ms sooner. No debugger comes
 * by a signal to a privileged process. One thread beside the main one, not four, is started and
 * fought with for locks: 2 ms of a run. And a young generation of 8 MB is not collected by a verb:
 * 1 ms, in pages that would be touched anyway (measured: no more memory). Nothing runs long enough to
 * be worth optimising: the compilers would only take the second core from the executor (1 ms).
 */
export const NODE_FLAGS = [
  '--no-rehash-snapshot',
  '--disable-sigusr1',
  '--v8-pool-size=1',
  '--min-semi-space-size=8',
  '--no-maglev',
  '--no-opt',
] as const;

/** First word of the hand-over: 'RCL1'. */
export const HAND_OVER_MAGIC = 0x314c4352;
export const HAND_OVER_VERSION = 1;
export const HAND_OVER_HEADER_SIZE = 48;

/** Offsets in the header. */
export const HAND_OVER = {
  magic: 0,
  version: 4,
  keep: 8,
  listenFds: 12,
  firstMissingFd: 16,
  umask: 20,
  nofileSoft: 24,
  nofileHard: 32,
  pid: 40,
} as const;

/** LISTEN_FDS and --preserve-fds are clamped to this each. */
export const MAX_KEPT_FDS = 1 << 16;

export interface HandOver {
  /** Descriptors from here on were closed: 3 + LISTEN_FDS + the largest --preserve-fds on argv. */
  readonly keep: number;
  /** LISTEN_FDS if LISTEN_PID was the launcher's, else 0 (sd_listen_fds(3)). */
  readonly listenFds: number;
  /** The first descriptor of 3 … keep-1 that the caller did not open, or -1. */
  readonly firstMissingFd: number;
  readonly umask: number;
  /** RLIMIT_NOFILE as the caller had it. */
  readonly nofileSoft: bigint;
  readonly nofileHard: bigint;
  readonly launcherPid: number;
  /** Whether memfds are not executable by default: then the kernel gives them no x (vm.memfd_noexec). */
  readonly memfdNoexec: boolean;
  /** The caller's environment, NAME=value, decoded as UTF-8. */
  readonly env: readonly string[];
  /** The same as bytes, each string with its NUL: what UTF-8 cannot express is only here. */
  readonly envBytes: Uint8Array;
}

/** `mode`: of the memfd itself. Throws on anything the launcher of this version would not have written. */
export function parseHandOver(bytes: Uint8Array, mode = 0o777): HandOver {
  if (bytes.length < HAND_OVER_HEADER_SIZE) throw new Error('hand-over: shorter than its header');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = view.getUint32(HAND_OVER.magic, true);
  const version = view.getUint32(HAND_OVER.version, true);
  if (magic !== HAND_OVER_MAGIC || version !== HAND_OVER_VERSION) {
    throw new Error(`hand-over: magic ${magic.toString(16)} version ${version} is not this one's`);
  }
  const envBytes = bytes.subarray(HAND_OVER_HEADER_SIZE);
  return {
    keep: view.getUint32(HAND_OVER.keep, true),
    listenFds: view.getUint32(HAND_OVER.listenFds, true),
    firstMissingFd: view.getInt32(HAND_OVER.firstMissingFd, true),
    umask: view.getUint32(HAND_OVER.umask, true),
    nofileSoft: view.getBigUint64(HAND_OVER.nofileSoft, true),
    nofileHard: view.getBigUint64(HAND_OVER.nofileHard, true),
    launcherPid: view.getUint32(HAND_OVER.pid, true),
    memfdNoexec: (mode & 0o111) === 0,
    env: splitStrings(envBytes),
    envBytes,
  };
}

/** Strings that each end with NUL; no bytes are no strings, one NUL is one empty string. */
function splitStrings(bytes: Uint8Array): string[] {
  if (bytes.length === 0) return [];
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
  return text.replace(/\0$/, '').split('\0');
}
