/**
 * What `delete` needs of storage, a file of its own beside the bundles (scripts/build.ts): most
 * containers have nothing here, and the hot verbs do not load it.
 */

export { removeLeftovers, removeOwned } from './bundle.ts';
