/**
 * The device filter of a container whose rules allow nothing of their own, in base64: what nearly every
 * document asks for. The build evaluates this module and puts the text in its place (scripts/build.ts),
 * so that a hot verb has the filter and not its compiler.
 */

import { compileDeviceFilter } from './device-filter.ts';

export const DEFAULT_DEVICE_FILTER: string = Buffer.from(compileDeviceFilter({})).toString(
  'base64',
);
