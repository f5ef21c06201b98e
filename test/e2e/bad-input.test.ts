/** Whatever is wrong with what users, platforms, CAs and servers say: a condition says what to do, and nothing is written. */
import { after, before, describe } from 'node:test';
import { authorityIssuers, authorityTests } from './bad-input/authorities.ts';
import { hostileTests } from './bad-input/hostile.ts';
import { grantIssuers, grantTests } from './bad-input/grants.ts';
import { identityTests } from './bad-input/identities.ts';
import { registrationManagementTests } from './bad-input/registration-management.ts';
import { registrationTests } from './bad-input/registrations.ts';
import { secretTests } from './bad-input/secrets.ts';
import { serverTests } from './bad-input/servers.ts';
import { wayTests } from './bad-input/ways.ts';
import { World } from './bad-input/world.ts';

describe('bad input', { concurrency: true }, () => {
  let running: World | undefined;
  const world = (): World => {
    if (running === undefined) throw new Error('the installation did not start');
    return running;
  };
  before(async () => {
    running = await World.start([...grantIssuers, ...authorityIssuers]);
  });
  after(() => running?.stop());

  describe('registrations', { concurrency: true }, () => registrationTests(world));
  describe('servers without RFC 7592', { concurrency: true }, () => registrationManagementTests(world));
  describe('servers', { concurrency: true }, () => serverTests(world));
  describe('ways to servers', { concurrency: true }, () => wayTests(world));
  describe('hostile servers', { concurrency: true }, () => hostileTests(world));
  describe('authorities', { concurrency: true }, () => authorityTests(world));
  describe('grants', { concurrency: true }, () => grantTests(world));
  describe('Secrets', { concurrency: true }, () => secretTests(world));
  describe('identities', { concurrency: true }, () => identityTests(world));
});
