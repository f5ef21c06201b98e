/** What is said of an Ingress, and what is done next: a row is a world, through all rules. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bundleName } from '../../../src/terminator/bundle.ts';
import { FIELD_MANAGER } from '../../../src/terminator/field-managers.ts';
import { caBundle } from '../../../src/x509/bundle.ts';
import { corporateCa, KEY, SCOPE, type World } from '../world.ts';

export const prefix = 'nginx.ingress.kubernetes.io';
export const wanted = {
  [`${prefix}/auth-tls-secret`]: `payments/${bundleName(SCOPE)}`,
  [`${prefix}/auth-tls-verify-client`]: 'on',
  [`${prefix}/auth-tls-verify-depth`]: '1',
  [`${prefix}/auth-tls-pass-certificate-to-upstream`]: 'true',
};
export const keys = Object.keys(wanted);
export const bundlePem = caBundle([corporateCa]).pem;
/** As the operator leaves an Ingress. */
export const annotated = { annotations: wanted, managers: { [FIELD_MANAGER]: keys } };
export const nextStep = (world: World, key = KEY): string | undefined => world.plan(key).next?.name;

export interface Row {
  title: string;
  world: () => World;
  said: string[];
  step: string | undefined;
  ref?: string;
  key?: string;
}

export function eachRow(rows: readonly Row[]): void {
  for (const { title, world, said, step, ref, key } of rows) {
    test(title, () => {
      const built = world();
      assert.deepEqual(built.said(ref, key), said);
      assert.equal(nextStep(built, key), step);
    });
  }
}
