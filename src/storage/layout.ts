/**
 * The names below `<root>/containers/<id>` and `<root>/bundles/<id>`: all that storage ever makes
 * there, and so all it ever removes (docs/state.md). Constants, no I/O.
 */

/** Entries of a container's image directory; RECORD says that runcell made the others. */
export const LAYER = {
  /** Link to the image: its only use is a name without special bytes for old kernels. */
  image: 'image',
  upper: 'upper',
  work: 'work',
  /** The mount point, and so the container's root. */
  rootfs: 'rootfs',
} as const;

/** What was made, in both directories; written first, removed last. */
export const RECORD = { image: 'image.json', bundle: 'bundle.json' } as const;

/** The configuration in a bundle, runtime-spec 1.3 bundle.md. */
export const CONFIG = 'config.json';
